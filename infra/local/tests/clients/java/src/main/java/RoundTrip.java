import com.clickhouse.client.api.Client;
import com.clickhouse.client.api.ServerException;
import com.clickhouse.client.api.data_formats.ClickHouseBinaryFormatReader;
import com.clickhouse.client.api.query.GenericRecord;
import com.clickhouse.client.api.query.QueryResponse;
import com.clickhouse.client.api.query.QuerySettings;
import com.clickhouse.data.ClickHouseFormat;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;

/** A round trip of the Java client. CLICKHOUSE_URL is where the server answers. */
public class RoundTrip {
    public static void main(String[] arguments) throws Exception {
        for (boolean compressed : new boolean[] {false, true}) {
            try (Client client = new Client.Builder()
                    .addEndpoint(System.getenv("CLICKHOUSE_URL"))
                    .setUsername("default")
                    .setPassword("")
                    .compressServerResponse(compressed)
                    .compressClientRequest(compressed)
                    .build()) {
                roundTrip(client);
            }
        }
    }

    static void roundTrip(Client client) throws Exception {
        expect(client.ping(), "ping");
        client.execute("DROP TABLE IF EXISTS java").get();
        client.execute("CREATE TABLE java (n UInt64, id UUID, at DateTime64(6, 'UTC'), tags Array(String), "
            + "kind LowCardinality(String), note Nullable(String), raw String) ENGINE = MergeTree ORDER BY n").get();
        String id = "e2085be5-9137-4e4e-80b5-f1ffddc25423";
        String rows = "1\t" + id + "\t2021-01-01 09:15:27.243860\t['a','é']\tx\ta note\tnul\\0\\n\n"
            + "2\t" + id + "\t1970-01-01 00:00:00.000000\t[]\ty\t\\N\t\n";
        var data = new ByteArrayInputStream(rows.getBytes(StandardCharsets.UTF_8));
        client.insert("java", data, ClickHouseFormat.TSV).get().close();
        List<GenericRecord> read = client.queryAll("SELECT * FROM java ORDER BY n");
        expect(read.size() == 2, "rows");
        GenericRecord first = read.get(0);
        expect(first.getLong("n") == 1, "n");
        expect(first.getUUID("id").toString().equals(id), "id " + first.getUUID("id"));
        expect(first.getZonedDateTime("at").toInstant().toString().equals("2021-01-01T09:15:27.243860Z"), "at");
        expect(first.getList("tags").equals(List.of("a", "é")), "tags " + first.getList("tags"));
        expect(first.getString("kind").equals("x"), "kind");
        expect(first.getString("note").equals("a note"), "note");
        expect(first.getString("raw").equals("nul\0\n"), "raw");
        expect(read.get(1).getString("note") == null, "null");

        // Parameters.
        try (QueryResponse response = client.query("SELECT kind FROM java WHERE n = {n:UInt64}",
                Map.of("n", 2), new QuerySettings()).get()) {
            ClickHouseBinaryFormatReader reader = client.newBinaryFormatReader(response);
            reader.next();
            expect(reader.getString("kind").equals("y"), "parameter");
        }

        // An error keeps its code.
        try {
            client.queryAll("SELECT bad");
            throw new AssertionError("no error");
        } catch (Exception error) {
            Throwable cause = error;
            while (cause != null && !(cause instanceof ServerException)) {
                cause = cause.getCause();
            }
            expect(cause != null && ((ServerException) cause).getCode() == 47, "error " + error);
        }

        // A large streamed result, and leaving in the middle.
        try (QueryResponse response = client.query("SELECT number FROM numbers(2000000)").get()) {
            ClickHouseBinaryFormatReader reader = client.newBinaryFormatReader(response);
            long count = 0;
            while (reader.next() != null) {
                count++;
            }
            expect(count == 2_000_000, "stream " + count);
        }
        try (QueryResponse response = client.query("SELECT number FROM numbers(5000000)").get()) {
            expect(client.newBinaryFormatReader(response).next() != null, "no row");
        }
        expect(client.queryAll("SELECT 1 AS one").get(0).getInteger("one") == 1, "after leaving");
    }

    static void expect(boolean fact, String what) {
        if (!fact) {
            throw new AssertionError(what);
        }
    }
}
