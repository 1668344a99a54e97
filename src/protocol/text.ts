/** Text and JSON without loss: what is not valid UTF-8 stays bytes, and a number that names something keeps its digits. Web APIs only. */

// `ignoreBOM` keeps a byte order mark in the text; without it the text would not be the bytes.
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

/** The text of these bytes, or undefined when they are not valid UTF-8. `toBytes` gives the very same bytes back. */
export function toText(bytes: Uint8Array): string | undefined {
  try {
    return strict.decode(bytes)
  } catch {
    return undefined
  }
}

/** The UTF-8 bytes of a text. */
export const toBytes = (data: string | Uint8Array): Uint8Array =>
  typeof data === 'string' ? encoder.encode(data) : data

/** Base64 (RFC 4648, padded). */
export function toBase64(data: string | Uint8Array): string {
  const bytes = toBytes(data)
  let binary = ''
  // In slices, since a call takes a bounded number of arguments.
  for (let at = 0; at < bytes.length; at += 0x8000) binary += String.fromCharCode(...bytes.subarray(at, at + 0x8000))
  return btoa(binary)
}

/** The bytes of a base64 text. @throws DOMException when it is not base64. */
export function fromBase64(base64: string): Uint8Array<ArrayBuffer> {
  const binary = atob(base64)
  const bytes = new Uint8Array(binary.length)
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at)
  return bytes
}

/**
 * Characters that some SQS servers refuse in a message body: controls, U+FFFE, U+FFFF, and everything outside the basic plane
 * (surrogates, such as emoji). Source: SendMessage in the SQS API reference lists the allowed ones; several servers leave out
 * the last range.
 */
const REFUSED = /[^\x09\x0A\x0D\x20-\uD7FF\uE000-\uFFFD]/

/** Whether every SQS server takes this text in a message body. */
export const isSqsText = (text: string): boolean => !REFUSED.test(text)

/*
 * Below: JSON without losing a digit of an identifier. `JSON.parse` rounds long numbers, and forgets how a number was written: to it
 * `1764000000.10` and `1764000000.1` are one. A reference that some dialler writes as a number is text all the same.
 */

/**
 * Finds a number that `String(JSON.parse(…))` may write in another way: 16 characters and more, an exponent, a fraction that ends in 0 or
 * begins with six of them, and -0. Every other number comes back as it was written, since a double holds 15 digits.
 */
const INEXACT = /(?:^|[:[,\s])-?(?:\d[\d.]{15}|\d+(?:\.\d+)?[eE]|\d+\.(?:0{6}|\d*0(?!\d))|(?<=-)0(?![.\d]))/

/** The fields whose value is a name and no quantity: all that the payload schemas take as text, and what is called a reference elsewhere. */
const IDENTIFIER = /(?:^|_)(?:ref|id|number)$|^(?:agent|extension|status|end_reason|call_dir|recording_url)$/

/** Whether a field of this name names something, also where its value is written as a number. */
export const isIdentifier = (name: string): boolean => IDENTIFIER.test(name)

const INTEGER = /^-?\d+$/

function keepDigits(key: string, value: unknown, { source }: { readonly source?: string }): unknown {
  if (typeof value !== 'number' || source === undefined || String(value) === source) return value
  return isIdentifier(key) || (!Number.isSafeInteger(value) && INTEGER.test(source)) ? source : value
}

/** Whether a JSON text has a number that only `parseExact` gives back as it was written. */
export const isInexact = (text: string): boolean => INEXACT.test(text)

/**
 * Parses JSON as `JSON.parse` does, except for numbers that it would change: one that names something (`call_ref`, `number`, any
 * `…_ref`) becomes the text that was written, and so does an integer that a double cannot hold. A byte order mark before the text is
 * skipped.
 *
 * @throws SyntaxError when the text is not JSON.
 * @example parseExact('{"call_ref":1764000000.10,"call_time":1.50}') // { call_ref: '1764000000.10', call_time: 1.5 }
 */
export function parseExact(text: string): unknown {
  // The reviver is ten times as slow: it is used only where it is needed.
  return isInexact(text)
    ? JSON.parse(withoutMark(text), keepDigits as (key: string, value: unknown) => unknown)
    : parseJson(text)
}

/** `JSON.parse`, for a text that may begin with a byte order mark, as RFC 8259 (section 8.1) allows. @throws SyntaxError */
export const parseJson = (text: string): unknown => JSON.parse(withoutMark(text))

/** Whether a text begins with a byte order mark. */
export const hasMark = (text: string): boolean => text.charCodeAt(0) === 0xfeff

const withoutMark = (text: string): string => (hasMark(text) ? text.slice(1) : text)

/** Whether a value is a JSON object (not null, not an array). */
export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * Finds the pieces of a JSON text without making values of them, so that `data` can be taken out as the very text it was.
 * The text must be valid JSON (it has been through `JSON.parse`); no check is made here.
 */

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

function skipSpace(text: string, at: number): number {
  for (;;) {
    const code = text.charCodeAt(at)
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return at
    at++
  }
}

function skipString(text: string, at: number): number {
  for (let from = at + 1; ;) {
    const end = text.indexOf('"', from)
    if (end < 0) return text.length
    let slashes = 0
    while (text.charCodeAt(end - 1 - slashes) === BACKSLASH) slashes++
    if (slashes % 2 === 0) return end + 1
    from = end + 1
  }
}

/** The index just behind the value that starts at `at`. */
function skipValue(text: string, at: number): number {
  const first = text.charCodeAt(at)
  if (first === QUOTE) return skipString(text, at)
  if (first !== OPEN_OBJECT && first !== OPEN_ARRAY) {
    while (at < text.length) {
      const code = text.charCodeAt(at)
      if (code === COMMA || code === CLOSE_OBJECT || code === CLOSE_ARRAY || code <= 0x20) break
      at++
    }
    return at
  }
  for (let depth = 0; at < text.length;) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) {
      at = skipString(text, at)
      continue
    }
    at++
    if (code === OPEN_OBJECT || code === OPEN_ARRAY) depth++
    else if ((code === CLOSE_OBJECT || code === CLOSE_ARRAY) && --depth === 0) break
  }
  return at
}

/** Calls back with each member of the object or array in a text, as raw JSON; in an array, names are ''. */
function scan(text: string, found: (value: string, name: string) => void): void {
  let at = skipSpace(text, 0)
  const isNamed = text.charCodeAt(at) === OPEN_OBJECT
  do {
    at = skipSpace(text, at + 1)
    const first = text.charCodeAt(at)
    if (at >= text.length || first === CLOSE_ARRAY || first === CLOSE_OBJECT) return
    let name = ''
    if (isNamed) {
      const colon = skipString(text, at)
      name = JSON.parse(text.slice(at, colon)) as string
      at = skipSpace(text, skipSpace(text, colon) + 1)
    }
    const end = skipValue(text, at)
    found(text.slice(at, end), name)
    at = skipSpace(text, end)
  } while (text.charCodeAt(at) === COMMA)
}

/** The texts of an object's members: name → raw JSON text of the value. Of a name given twice the last counts, as in `JSON.parse`. */
export function scanObject(text: string): Map<string, string> {
  const members = new Map<string, string>()
  scan(text, (value, name) => members.set(name, value))
  return members
}

/** The raw JSON texts of an array's elements. */
export function scanArray(text: string): string[] {
  const elements: string[] = []
  scan(text, (value) => elements.push(value))
  return elements
}

/** Whether arrays and objects lie in each other deeper than so many levels. Walking through them would end the stack of whoever does. */
export function isDeeper(text: string, levels: number): boolean {
  // Each level opens and closes.
  if (text.length <= levels * 2) return false
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) at = skipString(text, at) - 1
    else if (code === CLOSE_ARRAY || code === CLOSE_OBJECT) depth--
    else if ((code === OPEN_ARRAY || code === OPEN_OBJECT) && ++depth > levels) return true
  }
  return false
}
