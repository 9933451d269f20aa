import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { brief, indented, parseKeeping } from '../../../query-api/console/src/json/text.ts'
import { spanOf } from '../../../query-api/console/src/moment.ts'
import { decodeFeature, encodeFeature } from '../../../query-api/console/src/feature.ts'
import { duration, millisBetween, time } from '../../../query-api/console/src/format.ts'
import { bulk } from '../../../query-api/console/src/pages/usage/bulk.ts'
import { parts, textOf } from '../../../query-api/console/src/pages/problems/bytes.ts'
import { marks } from '../../../query-api/console/src/pages/problems/marks.ts'
import { changed, href, parse } from '../../../query-api/console/src/router.ts'
import { bucketEnd, chipsOf, inRange, scopeOf, toRfc3339, without, type Filter } from '../../../query-api/console/src/scope.ts'

/* What needs no page: cases that a running pipeline shows only now and then. */
describe('Without a page', () => {
  test('each reason is marked at its place in the record', () => {
    const check = (text: string, code: string, pointer: string, marked: string[], message = '') =>
      assert.deepEqual(marks(text, [{ code, pointer, message }]).map(({ from, to }) => text.slice(from, to)), marked, `${code} ${pointer}`)
    const text = '{"name": "x", "data": {"path": 7, "a/b": {"~": [1, {"deep": true}]}}, "timestamp": "yesterday"}'
    check(text, 'data_invalid', '/data/path', ['7'])
    check(text, 'invalid_field', '/timestamp', ['"yesterday"'])
    check(text, 'data_invalid', '/data/a~1b/~0/1/deep', ['true'])
    // What is absent is marked where it would be.
    check(text, 'missing_field', '/session_id', ['}'])
    check(text, 'data_invalid', '/data/host', ['}'])
    check('[1]', 'not_an_object', '', [])
    // What is not JSON says in bytes where it ends.
    check('{"name": }', 'invalid_json', '', ['}'], 'expected a value at byte 9')
    check('{"ü": 🙂}', 'invalid_json', '', ['🙂'], 'expected a value at byte 7')
    check('{"a": 1', 'invalid_json', '', ['1'], 'unfinished at byte 7')
    check('{"a": 1', 'invalid_json', '', [], 'beyond what is kept at byte 70000')
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

  test('nesting, however deep, is no fault of the console', () => {
    const text = '{"a":'.repeat(10_000)
    assert.deepEqual(marks(text, [{ code: 'invalid_json', pointer: '', message: 'nested deeper than 127 levels at byte 636' }]), [{ from: 636, to: 637, reasons: [1] }])
    assert.deepEqual(marks('['.repeat(30_000), [{ code: 'data_invalid', pointer: '/data/a', message: '' }]), [])
    assert.equal(indented(text), null)
    assert.equal((parseKeeping(`{"data":${'['.repeat(30_000)}${']'.repeat(30_000)}}`, ['data']) as { data: string }).data.length, 60_000)
  })

  test('JSON stays as its sender wrote it', () => {
    const sent = '{ "2": 12345678901234567890, "1" : 1.10,"n":-0, "data": {"e": 1E400}, "s": "\\u00fc \\"data\\": {", "a" : [ ] }'
    const answer = `{"events":[{"name":"data","data":${sent},"offset":7},{"data" : null}, {"data": "\\"data\\"" }],"data":[1, 2.0 ],"more":{"data":-0}}`
    assert.deepEqual(parseKeeping(answer, ['data']), { events: [{ name: 'data', data: sent, offset: 7 }, { data: null }, { data: '"\\"data\\""' }], data: '[1, 2.0 ]', more: { data: '-0' } })
    assert.equal(brief(sent), '{"2":12345678901234567890,"1":1.10,"n":-0,"data":{"e":1E400},"s":"\\u00fc \\"data\\": {","a":[]}')
    assert.equal(brief(sent, 10), '{"2":1234…')
    assert.equal(indented('{"2":1.10,"1":[-0]}')!.text, '{\n  "2": 1.10,\n  "1": [\n    -0\n  ]\n}')
    assert.throws(() => parseKeeping('<html>', ['data']), SyntaxError)
  })

  test('a page says of which moments its figures are', () => {
    const at = (time: string, zero: number, one?: number) => ({ time, positions: { 0: zero, ...(one !== undefined && { 1: one }) } })
    assert.equal(spanOf([]), null)
    assert.deepEqual(spanOf([at('2024-03-01T10:00:00Z', 5), at('2024-03-01T10:00:00Z', 5)]), { all: at('2024-03-01T10:00:00Z', 5), some: null })
    // The oldest is what all of them include: of each partition for itself.
    assert.deepEqual(spanOf([at('2024-03-01T10:00:09Z', 7, 1), at('2024-03-01T10:00:00Z', 5, 2)]), { all: at('2024-03-01T10:00:00Z', 5, 1), some: '2024-03-01T10:00:09Z' })
    assert.deepEqual(spanOf([at('2024-03-01T10:00:09Z', 7, 1), at('2024-03-01T10:00:00Z', 5)])!.all.positions, { 0: 5, 1: 0 })
    // The log is empty if all say so.
    const empty = { time: null, positions: {} }
    assert.deepEqual(spanOf([empty, empty]), { all: empty, some: null })
    assert.deepEqual(spanOf([empty, at('2024-03-01T10:00:00Z', 5)]), { all: { time: null, positions: { 0: 0 } }, some: '2024-03-01T10:00:00Z' })
  })

  test('each filter in the address is shown; what the page has not is not sent', () => {
    const filters: Filter[] = ['range', 'app']
    const chips = (query: string) => chipsOf(new URLSearchParams(query), filters).map(({ name, value, state }) => [name, value, state])
    assert.deepEqual(chips(''), [])
    assert.deepEqual(chips('last=7d&app=shop&category=cart&name='), [['last', 'Last 7 days', 'applied'], ['app', 'shop', 'applied'], ['category', 'cart', 'unused']])
    assert.deepEqual(chips('from=2024-03-01&to=2024-13-45'), [['from', '2024-03-01 00:00 UTC', 'applied'], ['to', '2024-13-45', 'unread']])
    assert.deepEqual(chips('last=2w'), [['last', '2w', 'unread']])
    // What a page does not know is said as soon as there is a page; of a step that can't be read, that one alone goes.
    const params = new URLSearchParams('step=a/b&step=nonsense&begin=first&stpe=c/d&reason=any')
    const rest = chipsOf(params, filters, { step: decodeFeature, begin: ['any', 'first'] })
    assert.deepEqual(rest.map(({ name, value, state }) => [name, value, state]), [['reason', 'any', 'unused'], ['step', 'nonsense', 'unread'], ['stpe', 'c/d', 'unread']])
    assert.equal(changed(params, without(params, rest)).toString(), 'begin=first&step=a%2Fb')
    // The preset counts, and says so of the other one, which can be taken away.
    const both = new URLSearchParams('last=7d&from=2024-03-01&cursor=x')
    assert.deepEqual(chips(`${both}`), [['last', 'Last 7 days', 'applied'], ['from', '2024-03-01 00:00 UTC', 'unused']])
    assert.equal(changed(both, without(both, chipsOf(both, filters).slice(1))).toString(), 'last=7d')
    assert.equal(changed(both, without(both, chipsOf(both, filters))).toString(), '')
    // Of several values the first counts, unless they are a list; and no value that another parameter overrules.
    assert.deepEqual(chips('app=a&app=b&app=a&last=7d&last=30d'), [['last', 'Last 7 days', 'applied'], ['last', 'Last 30 days', 'unused'], ['app', 'a', 'applied'], ['app', 'b', 'unused']])
    const twice = new URLSearchParams('app=a&app=b')
    assert.equal(changed(twice, without(twice, chipsOf(twice, filters).slice(1))).toString(), 'app=a')
    const other = (query: string) => chipsOf(new URLSearchParams(query), filters, { step: { of: decodeFeature, many: true }, start: { of: decodeFeature, unless: 'end' }, end: decodeFeature }).map(({ name, value, state }) => [name, value, state])
    assert.deepEqual(other('step=a/b&step=c/d&start=a/b&end=nonsense'), [['end', 'nonsense', 'unread']])
    assert.deepEqual(other('start=a/b&end=c/d&end=e/f'), [['start', 'a/b', 'unused'], ['end', 'e/f', 'unused']])
    assert.deepEqual(scopeOf(new URLSearchParams('from=2024-03-01&app=shop&category=cart&name=x'), filters), { from: '2024-03-01T00:00:00Z', app: 'shop' })
    assert.deepEqual(scopeOf(new URLSearchParams('from=2024-03-01&app=shop'), []), {})
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

  test('buckets follow the calendar', () => {
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
    assert.deepEqual(scopeOf(new URLSearchParams('last=24h&app=a'), ['range', 'app'], Date.parse('2024-03-02T10:00:30Z')), { from: '2024-03-01T10:00:00Z', app: 'a' })
    assert.deepEqual(scopeOf(new URLSearchParams('last=7d'), ['range'], Date.parse('2024-03-08T10:00:30Z')), { from: '2024-03-01T00:00:00Z' })
    assert.deepEqual(scopeOf(new URLSearchParams(), ['range']), {})
  })

  test('another range begins with its first page', () => {
    assert.equal(changed(new URLSearchParams('to=2000-01-01&cursor=x&app=a'), inRange(null, null)).toString(), 'app=a')
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
