/** The valid UTF-8 in a string with one character for each byte. */
const UTF8 = [
  '[\\x00-\\x7f]+',
  '[\\xc2-\\xdf][\\x80-\\xbf]',
  '\\xe0[\\xa0-\\xbf][\\x80-\\xbf]|\\xed[\\x80-\\x9f][\\x80-\\xbf]|[\\xe1-\\xec\\xee\\xef][\\x80-\\xbf]{2}',
  '\\xf0[\\x90-\\xbf][\\x80-\\xbf]{2}|[\\xf1-\\xf3][\\x80-\\xbf]{3}|\\xf4[\\x80-\\x8f][\\x80-\\xbf]{2}',
].join('|')

/**
 * The bytes of a record as text. A byte that is not UTF-8 becomes a lone surrogate (U+DC80 to U+DCFF), which valid
 * UTF-8 never has. So it has one place in the text, and is recognised.
 */
export function textOf(raw: string, base64: string | null): string {
  if (base64 === null) return raw
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  return atob(base64).replace(new RegExp(`((?:${UTF8})+)|[^]`, 'g'), (bytes, valid) =>
    valid ? decoder.decode(Uint8Array.from(bytes as string, (byte) => byte.charCodeAt(0))) : String.fromCharCode(0xdc00 + bytes.charCodeAt(0)),
  )
}

/** The character of such a text that has this byte of the record: the last one at the end, null beyond it. */
export function placeOfByte(text: string, byte: number): { from: number; to: number } | null {
  let [from, to, end] = [0, 0, 0]
  for (const character of text) {
    ;[from, to] = [to, to + character.length]
    end += bytesOf(character).length
    if (end > byte) break
  }
  return end >= byte && to > 0 ? { from, to } : null
}

/** Runs of invisible characters: foreign bytes, control characters but tab and line feed, characters that reorder. */
const UNSEEN = /([\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+)/u

/** Text and bytes in turn: a part that can be read, then a part that is shown as bytes. */
export function parts(text: string): (string | number[])[] {
  const turns = text.split(UNSEEN).map((part, index) => (index % 2 ? [...part].flatMap(bytesOf) : part))
  return turns.filter((part) => part !== '')
}

function bytesOf(character: string): number[] {
  const code = character.codePointAt(0)!
  return code >= 0xdc80 && code <= 0xdcff ? [code - 0xdc00] : [...new TextEncoder().encode(character)]
}
