import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.LocalDateTime;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import java.util.UUID;

/** A round trip of the JDBC driver (HTTP), as DBeaver and Metabase have it. CLICKHOUSE_ADDRESS is host:port. */
public class RoundTrip {
    public static void main(String[] arguments) throws Exception {
        try (Connection writer = connect("writer", System.getenv("CLICKHOUSE_PASSWORD"), "eye_test")) {
            types(writer);
            questions(writer);
        }
        try (Connection analyst = connect("analyst", "", "eye")) {
            questions(analyst);
            // What a tool asks first.
            expect(analyst.getMetaData().getDatabaseProductVersion().startsWith("26."), "version");
            try (ResultSet tables = analyst.getMetaData().getTables(null, "eye", "%", null)) {
                expect(tables.next() && tables.getString("TABLE_NAME").equals("numbers_of"), "tables");
            }
            try (Statement statement = analyst.createStatement()) {
                statement.setQueryTimeout(30);
                statement.setMaxRows(2);
                ResultSet rows = statement.executeQuery("SELECT a FROM numbers_of ORDER BY a");
                expect(rows.next() && rows.getLong(1) == 1, "view");
                fails(statement, "SELECT * FROM eye_test.java", "497");
            }
        }
    }

    static Connection connect(String user, String password, String database) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", user);
        properties.setProperty("password", password);
        String address = System.getenv("CLICKHOUSE_ADDRESS");
        return DriverManager.getConnection("jdbc:clickhouse://" + address + "/" + database, properties);
    }

    static void types(Connection connection) throws Exception {
        UUID id = UUID.fromString("e2085be5-9137-4e4e-80b5-f1ffddc25423");
        LocalDateTime at = LocalDateTime.of(2021, 1, 1, 9, 15, 27, 243_860_000);
        try (Statement statement = connection.createStatement()) {
            statement.execute("DROP TABLE IF EXISTS java");
            statement.execute("CREATE TABLE java (n UInt64, id UUID, at DateTime64(6, 'UTC'), tags Array(String), "
                + "kind LowCardinality(String), note Nullable(String)) ENGINE = MergeTree ORDER BY n");
        }
        try (PreparedStatement insert = connection.prepareStatement("INSERT INTO java VALUES (?, ?, ?, ?, ?, ?)")) {
            insert.setLong(1, 1);
            insert.setObject(2, id);
            insert.setObject(3, at);
            insert.setArray(4, connection.createArrayOf("String", new String[] {"a", "é"}));
            insert.setString(5, "x'\n");
            insert.setString(6, null);
            insert.executeUpdate();
        }
        try (Statement statement = connection.createStatement();
                ResultSet row = statement.executeQuery("SELECT * FROM java")) {
            expect(row.next(), "a row");
            expect(row.getLong("n") == 1, "n");
            expect(row.getObject("id").equals(id), "id " + row.getObject("id"));
            expect(row.getObject("at", LocalDateTime.class).equals(at), "at " + row.getObject("at"));
            List<?> tags = Arrays.asList((Object[]) row.getArray("tags").getArray());
            expect(tags.equals(List.of("a", "é")), "tags " + tags);
            expect(row.getString("kind").equals("x'\n"), "kind");
            expect(row.getString("note") == null, "note");
        }
    }

    static void questions(Connection connection) throws Exception {
        try (PreparedStatement question = connection.prepareStatement("SELECT number FROM numbers(9) WHERE number = ?")) {
            question.setLong(1, 2);
            ResultSet row = question.executeQuery();
            expect(row.next() && row.getLong(1) == 2, "parameter");
        }
        try (Statement statement = connection.createStatement()) {
            fails(statement, "SELECT bad", "47");
            ResultSet rows = statement.executeQuery("SELECT number FROM numbers(2000000)");
            long count = 0;
            while (rows.next()) {
                count++;
            }
            expect(count == 2_000_000, "stream " + count);
        }
        try (Statement statement = connection.createStatement()) {
            Thread other = new Thread(() -> {
                try {
                    Thread.sleep(1000);
                    statement.cancel();
                } catch (Exception error) {
                    throw new AssertionError(error);
                }
            });
            other.start();
            try {
                // Takes a minute unless it is cancelled.
                ResultSet rows = statement.executeQuery("SELECT max(sleepEachRow(0.00003)) FROM numbers(20000000)");
                while (rows.next()) {
                }
            } catch (SQLException cancelled) {
                // So it is.
            }
            other.join();
        }
        try (Statement statement = connection.createStatement()) {
            ResultSet row = statement.executeQuery("SELECT 1");
            expect(row.next() && row.getInt(1) == 1, "after leaving");
        }
    }

    static void fails(Statement statement, String sql, String code) {
        try {
            statement.executeQuery(sql);
        } catch (SQLException error) {
            expect(error.toString().contains(code), sql + ": " + error);
            return;
        }
        throw new AssertionError("no error: " + sql);
    }

    static void expect(boolean fact, String what) {
        if (!fact) {
            throw new AssertionError(what);
        }
    }
}
