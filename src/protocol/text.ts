/* Text, JSON and errors without loss: bytes that are not valid UTF-8 stay bytes, and identifiers keep their digits. Uses Web APIs only. */

// `ignoreBOM` keeps a byte order mark in the text, so that encoding the text restores the bytes.
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

/** Decodes bytes. Returns undefined if they are not valid UTF-8. `toBytes` restores exactly the same bytes. */
export function toText(bytes: Uint8Array): string | undefined {
  try {
    return strict.decode(bytes)
  } catch {
    return undefined
  }
}

/** Encodes a text in UTF-8. Returns bytes unchanged. */
export const toBytes = (data: string | Uint8Array): Uint8Array =>
  typeof data === 'string' ? encoder.encode(data) : data

/** Returns the FNV-1a hash of the UTF-16 units of a text: 32 bits, unsigned. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return hash >>> 0
}

/** Encodes in base64 (RFC 4648, padded). */
export function toBase64(data: string | Uint8Array): string {
  const bytes = toBytes(data)
  let binary = ''
  // In slices, because the number of arguments of a call is limited.
  for (let at = 0; at < bytes.length; at += 0x8000) binary += String.fromCharCode(...bytes.subarray(at, at + 0x8000))
  return btoa(binary)
}

/** Decodes base64. @throws DOMException if the text is not base64 */
export function fromBase64(base64: string): Uint8Array<ArrayBuffer> {
  const binary = atob(base64)
  const bytes = new Uint8Array(binary.length)
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at)
  return bytes
}

/**
 * Characters that some SQS servers reject in a message body: control characters, U+FFFE, U+FFFF, and everything outside the basic plane
 * (surrogates, such as emoji). Source: SendMessage in the SQS API reference lists the allowed characters; several servers do not implement the
 * last range.
 */
const REFUSED = /[^\x09\x0A\x0D\x20-\uD7FF\uE000-\uFFFD]/

/** Returns whether every SQS server accepts this text in a message body. */
export const isSqsText = (text: string): boolean => !REFUSED.test(text)

/*
 * JSON without losing a digit of an identifier. `JSON.parse` rounds long numbers and drops how a number was written: `1764000000.10` becomes
 * `1764000000.1`. Some diallers write references as numbers, but a reference is text.
 */

/**
 * Matches numbers that `String(JSON.parse(…))` may write differently: 16 characters and more, an exponent, a fraction that ends in 0 or
 * begins with six zeros, and -0. Every other number is written as before, because a double holds 15 digits.
 */
const INEXACT = /(?:^|[:[,\s])-?(?:\d[\d.]{15}|\d+(?:\.\d+)?[eE]|\d+\.(?:0{6}|\d*0(?!\d))|(?<=-)0(?![.\d]))/

/** Names of fields whose value identifies something: all text fields of the payload schemas, and names that look like references. */
const IDENTIFIER = /(?:^|_)(?:ref|id|number)$|^(?:agent|extension|status|end_reason|call_dir|recording_url)$/

/** Returns whether a field of this name identifies something, even if its value is written as a number. */
export const isIdentifier = (name: string): boolean => IDENTIFIER.test(name)

const INTEGER = /^-?\d+$/

function keepDigits(key: string, value: unknown, { source }: { readonly source?: string }): unknown {
  if (typeof value !== 'number' || source === undefined || String(value) === source) return value
  return isIdentifier(key) || (!Number.isSafeInteger(value) && INTEGER.test(source)) ? source : value
}

/** Returns whether a JSON text contains a number that only `parseExact` preserves. */
export const isInexact = (text: string): boolean => INEXACT.test(text)

/**
 * Parses JSON as `JSON.parse` does, except for numbers that it would change. A number that identifies something (`call_ref`, `number`, any
 * `…_ref`) becomes the text as written, and so does an integer that a double cannot hold. Skips a byte order mark before the text.
 *
 * @throws SyntaxError if the text is not JSON
 * @example parseExact('{"call_ref":1764000000.10,"call_time":1.50}') // { call_ref: '1764000000.10', call_time: 1.5 }
 */
export function parseExact(text: string): unknown {
  // Parsing with a reviver takes ten times as long, so it is used only where it is needed.
  return isInexact(text)
    ? JSON.parse(withoutMark(text), keepDigits as (key: string, value: unknown) => unknown)
    : parseJson(text)
}

/** Parses JSON that may begin with a byte order mark, which RFC 8259 (section 8.1) allows a parser to ignore. @throws SyntaxError */
export const parseJson = (text: string): unknown => JSON.parse(withoutMark(text))

/** Returns whether a text begins with a byte order mark. */
export const hasMark = (text: string): boolean => text.charCodeAt(0) === 0xfeff

const withoutMark = (text: string): string => (hasMark(text) ? text.slice(1) : text)

/** Returns whether a value is a JSON object (not null, not an array). */
export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/*
 * Scanning: finds the parts of a JSON text without parsing them, so that `data` can be extracted exactly as it was written. The text must be
 * valid JSON (`JSON.parse` has accepted it); this is not checked here.
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

/** Returns the index after the value that starts at `at`. */
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

/** Calls `found` with the raw JSON of each member of the object or array in a text. In an array, names are empty. */
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

/** Returns the raw JSON of each member of an object, by name. If a name occurs twice, the last value counts, as in `JSON.parse`. */
export function scanObject(text: string): Map<string, string> {
  const members = new Map<string, string>()
  scan(text, (value, name) => members.set(name, value))
  return members
}

/** Returns the raw JSON of each element of an array. */
export function scanArray(text: string): string[] {
  const elements: string[] = []
  scan(text, (value) => elements.push(value))
  return elements
}

/** Returns whether a JSON text is nested deeper than `levels`. A recursive function on such a value could overflow the stack. */
export function isDeeper(text: string, levels: number): boolean {
  // Each level takes an opening and a closing character.
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

/** Returns the first of several errors, because the message of an AggregateError does not name the cause. */
export const firstError = (error: unknown): unknown =>
  error instanceof AggregateError && error.errors.length > 0 ? firstError(error.errors[0]) : error
