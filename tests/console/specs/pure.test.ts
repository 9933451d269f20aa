import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { decodeFeature, encodeFeature } from '../../../query-api/console/src/feature.ts'
import { duration, millisBetween, time } from '../../../query-api/console/src/format.ts'
import { bulk } from '../../../query-api/console/src/pages/usage/bulk.ts'
import { parts, textOf } from '../../../query-api/console/src/pages/problems/bytes.ts'
import { marks } from '../../../query-api/console/src/pages/problems/marks.ts'
import { seriesOf } from '../../../query-api/console/src/pages/problems/series.ts'
import { href, parse } from '../../../query-api/console/src/router.ts'
import { bucketEnd, bucketStart, scopeOf, toRfc3339 } from '../../../query-api/console/src/scope.ts'

/* What needs no page: cases that a running pipeline shows only now and then. */
describe('Without a page', () => {
  test('each reason is marked at its place in the record', () => {
    const check = (text: string, code: string, pointer: string, marked: string[]) =>
      assert.deepEqual(marks(text, [{ code, pointer, message: '' }]).map(({ from, to }) => text.slice(from, to)), marked, `${code} ${pointer}`)
    const text = '{"name": "x", "data": {"path": 7, "a/b": {"~": [1, {"deep": true}]}}, "timestamp": "yesterday"}'
    check(text, 'data_invalid', '/data/path', ['7'])
    check(text, 'invalid_field', '/timestamp', ['"yesterday"'])
    check(text, 'data_invalid', '/data/a~1b/~0/1/deep', ['true'])
    // What is absent is marked where it would be.
    check(text, 'missing_field', '/session_id', ['}'])
    check(text, 'data_invalid', '/data/host', ['}'])
    check('[1]', 'not_an_object', '', [])
    check('{"name": }', 'invalid_json', '', ['}'])
    check('', 'empty_record', '', [])
  })

  test('reasons at one place share a mark; one inside another stays', () => {
    const text = '{"data": {"path": 7}}'
    assert.deepEqual(
      marks(text, [
        { code: 'data_invalid', pointer: '/data/path', message: '' },
        { code: 'data_invalid', pointer: '/data', message: '' },
        { code: 'data_invalid', pointer: '/data/path', message: '' },
      ]),
      [
        { from: 9, to: 20, reasons: [2] },
        { from: 18, to: 19, reasons: [1, 3] },
      ],
    )
  })

  test('any bytes are told apart from text, and none is lost', () => {
    const check = (bytes: number[], shown: (string | number[])[]) => {
      const base64 = Buffer.from(bytes).toString('base64')
      const found = parts(textOf('', base64))
      assert.deepEqual(found, shown, base64)
      assert.deepEqual(Buffer.concat(found.map((part) => (typeof part === 'string' ? Buffer.from(part) : Uint8Array.from(part)))), Buffer.from(bytes))
    }
    const text = (characters: string) => [...Buffer.from(characters)]
    check(text('aü€🙂\t\n'), ['aü€🙂\t\n'])
    check([0xff, 0x41, 0x80], [[0xff], 'A', [0x80]])
    check([0xef, 0xbb, 0xbf, 0x7b], [[0xef, 0xbb, 0xbf], '{'])
    // A surrogate, an overlong slash, beyond Unicode, a character that is cut short.
    check([0xed, 0xb2, 0x80], [[0xed, 0xb2, 0x80]])
    check([0xc0, 0xaf, 0x41], [[0xc0, 0xaf], 'A'])
    check([0xf4, 0x90, 0x80, 0x80], [[0xf4, 0x90, 0x80, 0x80]])
    check([...text('🙂'), 0xf0, 0x9f, 0x99, ...text('🙂')], ['🙂', [0xf0, 0x9f, 0x99], '🙂'])
    const all = Array.from({ length: 1 << 16 }, (_, index) => (index * 40_503) & 255)
    assert.deepEqual(parts(textOf('', Buffer.from(all).toString('base64'))).flatMap((part) => (typeof part === 'string' ? text(part) : part)), all)
    assert.equal(textOf('as it is', null), 'as it is')
  })

  test('a record of the first second of a bucket is in it', () => {
    const reasons = [{ code: 'data_invalid', pointer: '', keyword: '', message: '' }]
    const { interval, starts, reasons: counted } = seriesOf(
      ['2026-11-25T03:54:00.700843Z', '2026-11-25T03:52:59.999999Z'].map((received_at) => ({ received_at, reasons })),
      null,
    )
    assert.equal(interval, 'minute')
    assert.deepEqual(starts, ['2026-11-25T03:52:00Z', '2026-11-25T03:53:00Z', '2026-11-25T03:54:00Z'])
    assert.deepEqual(counted, [['data_invalid', [1, 0, 1]]])
  })

  test('buckets follow the calendar', () => {
    assert.equal(bucketStart('2024-03-03T12:00:00Z', 'week'), '2024-02-26T00:00:00Z')
    assert.equal(bucketStart('2024-12-31T23:59:59.9Z', 'month'), '2024-12-01T00:00:00Z')
    assert.equal(bucketEnd('2024-12-01T00:00:00Z', 'month'), '2025-01-01T00:00:00Z')
    assert.equal(bucketEnd('2024-02-29T23:00:00Z', 'hour'), '2024-03-01T00:00:00Z')
  })

  test('any name survives an address', () => {
    for (const feature of [
      { category: 'a/b', name: 'c%2Fd' },
      { category: '?&=#', name: 'ü 🙂 +' },
      { category: ' ', name: '"\\\n' },
    ]) {
      const address = href('usage', new URLSearchParams({ type: encodeFeature(feature), category: feature.category }))
      const { page, params } = parse(address)
      assert.equal(page, 'usage')
      assert.equal(params.get('category'), feature.category)
      assert.deepEqual(decodeFeature(params.get('type')), feature)
    }
    assert.equal(decodeFeature('%E0%A4%A/x'), null)
    assert.equal(decodeFeature('one'), null)
  })

  test('time ranges', () => {
    assert.equal(toRfc3339('2024-03-01'), '2024-03-01T00:00:00Z')
    assert.equal(toRfc3339('2024-03-01T10:00+02:00'), '2024-03-01T08:00:00Z')
    assert.equal(toRfc3339('2024-03-01T10:00:00.000001Z'), '2024-03-01T10:00:00.000001Z')
    assert.equal(toRfc3339('soon'), null)
    assert.deepEqual(scopeOf(new URLSearchParams('last=24h&app=a'), Date.parse('2024-03-02T10:00:30Z')), { from: '2024-03-01T10:00:00Z', app: 'a' })
    assert.deepEqual(scopeOf(new URLSearchParams('last=7d'), Date.parse('2024-03-08T10:00:30Z')), { from: '2024-03-01T00:00:00Z' })
    assert.deepEqual(scopeOf(new URLSearchParams()), {})
  })

  test('a gap is told to the microsecond', () => {
    assert.equal(millisBetween('2024-03-01T10:00:00.000045Z', '2024-03-01T10:00:00.000093Z'), 0.048)
    assert.equal(millisBetween('2024-03-01T10:00:00.000900Z', '2024-03-01T10:00:00.002000Z'), 1.1)
    assert.equal(millisBetween('2024-03-01T10:00:00Z', '2024-03-01T10:00:00.000000Z'), 0)
  })

  test('figures are written for people', () => {
    assert.deepEqual([0, 850, 38_000, 92_000, 3_600_000, 93_600_000, null].map(duration), ['0 s', '850 ms', '38 s', '1 min 32 s', '1 h', '1 d 2 h', '–'])
    assert.deepEqual(['2024-03-13T10:21:14.000000Z', '2024-03-13T10:21:14.120000Z', null].map(time), ['2024-03-13 10:21:14', '2024-03-13 10:21:14.12', '–'])
  })

  test('a few events far away are told from the bulk', () => {
    const check = (events: number[], expected: [number, number, number] | null) => {
      const found = bulk(events.map((events) => ({ events })))
      assert.deepEqual(found && [found.first, found.last, found.outside], expected, `${events}`)
    }
    check([], null)
    check([5], null)
    check([0, 0, 0], null)
    check([1, 0, 0, 0, 1], null)
    check([1, 0, 0, 0, 500], [4, 4, 1])
    check([1, 0, 0, 0, 0, 50, 60], [5, 6, 1])
    check([50, 60, 0, 0, 0, 0, 0, 1], [0, 1, 1])
    check([0, 0, 0, 0, 0, 50, 60], [5, 6, 0])
    // Two are more than one in a thousand, one on each side as well.
    check([2, 0, 0, 0, 0, 50, 60], null)
    check([1, 0, 0, 0, 50, 60, 0, 0, 0, 1], null)
    check([1, 0, 0, 0, 900, 1200, 0, 0, 0, 1], [4, 5, 2])
    // Half of the range has room enough.
    check([1, 0, 50, 60], null)
  })
})
