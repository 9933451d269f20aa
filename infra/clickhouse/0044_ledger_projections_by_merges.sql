/*
Small inserts come all the time, and the projections were half of what one costs: they are built when parts are merged
for the first time. Until then a part is small, and read as it is. A part that finds nothing to be merged with would stay
so, and its neighbours, which merges can't reach over it, apart: the projector looks for such parts.
*/
ALTER TABLE {database}.ledger
    MODIFY SETTING materialize_projections_on_insert = 0, materialize_projections_on_merge = 1
