        SELECT session_id
        FROM ledger
        WHERE verdict = 'accepted' AND (partition, offset) IN
        (
            SELECT range.1, arrayJoin(range(if({everything:Bool}, range.3, range.2), range.3))
            FROM
            (
                SELECT arrayJoin(arrayZip({partitions:Array(UInt16)}, {starts:Array(UInt64)}, {ends:Array(UInt64)})) AS range
            )
        )
