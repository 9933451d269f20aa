// A round trip of @clickhouse/client. CLICKHOUSE_URL is where the server answers.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { createClient } from '@clickhouse/client'

for (const compressed of [false, true]) {
  const client = createClient({
    url: process.env.CLICKHOUSE_URL,
    username: 'writer',
    password: process.env.CLICKHOUSE_PASSWORD,
    database: 'eye_test',
    compression: { request: compressed, response: compressed },
  })
  assert.equal((await client.ping()).success, true)
  await client.command({ query: 'DROP TABLE IF EXISTS node' })
  await client.command({
    query: `CREATE TABLE node (n UInt64, id UUID, at DateTime64(6, 'UTC'), tags Array(String),
      kind LowCardinality(String), note Nullable(String), raw String) ENGINE = MergeTree ORDER BY n`,
  })
  const written = [
    { n: '1', id: randomUUID(), at: '2021-01-01 09:15:27.243860', tags: ['a', 'é'], kind: 'x', note: 'a note', raw: "nul\0'\n" },
    { n: '2', id: randomUUID(), at: '1970-01-01 00:00:00.000000', tags: [], kind: 'y', note: null, raw: '' },
  ]
  await client.insert({ table: 'node', values: written, format: 'JSONEachRow' })
  const select = async (query, query_params) =>
    (await client.query({ query, query_params, format: 'JSONEachRow', clickhouse_settings: { output_format_json_quote_64bit_integers: 1 } })).json()
  assert.deepEqual(await select('SELECT * FROM node ORDER BY n'), written)

  // Parameters.
  assert.deepEqual(await select('SELECT kind FROM node WHERE n = {n:UInt64}', { n: 2 }), [{ kind: 'y' }])

  // An error, at once and in the middle.
  await assert.rejects(select('SELECT bad'), { code: '47', type: 'UNKNOWN_IDENTIFIER' })
  await assert.rejects(
    select("SELECT throwIf(number = 500000, 'boom'), number FROM numbers(1000000) SETTINGS max_block_size = 10000"),
    // A compressed answer that is cut short may end before its last words are unpacked.
    compressed ? /boom|aborted/ : /boom/,
  )

  // A large streamed result, and leaving in the middle.
  const large = await client.query({ query: 'SELECT number FROM numbers(2000000)', format: 'JSONEachRow' })
  let count = 0
  for await (const rows of large.stream()) count += rows.length
  assert.equal(count, 2_000_000)
  const endless = await client.query({ query: 'SELECT number FROM numbers(1000000000)', format: 'JSONEachRow' })
  for await (const rows of endless.stream()) {
    assert.ok(rows.length > 0)
    break
  }
  endless.close()
  assert.deepEqual(await select('SELECT 1 AS one'), [{ one: 1 }])
  await client.close()
}

// An analyst, who may change next to no setting.
const analyst = createClient({ url: process.env.CLICKHOUSE_URL, username: 'analyst', database: 'eye' })
const read = async (query, query_params, clickhouse_settings) =>
  (await analyst.query({ query, query_params, clickhouse_settings, format: 'JSONEachRow' })).json()
assert.equal((await analyst.ping()).success, true)
assert.deepEqual(await read('SELECT toUInt8(a) AS a FROM numbers_of WHERE a = {n:UInt64}', { n: 2 }), [{ a: 2 }])
assert.equal((await read('SELECT a FROM numbers_of', {}, { max_execution_time: 5 })).length, 3)
await assert.rejects(read('SELECT * FROM eye_test.node'), { code: '497' })
await analyst.close()
