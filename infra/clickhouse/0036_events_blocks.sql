/*
Compressed blocks as small as the granules that a page of single events reads: a third off its time, and off a
timeline's, for a twentieth more space. A reading of everything takes a tenth longer.
*/
ALTER TABLE {database}.events MODIFY SETTING min_compress_block_size = 16384, max_compress_block_size = 65536
