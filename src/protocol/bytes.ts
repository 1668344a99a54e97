/** Text and bytes, without loss: what is not valid UTF-8 stays bytes. Web APIs only. */

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
export function toBytes(data: string | Uint8Array): Uint8Array {
  return typeof data === 'string' ? encoder.encode(data) : data
}

/** Base64 (RFC 4648, padded). */
export function toBase64(data: string | Uint8Array): string {
  const bytes = toBytes(data)
  let binary = ''
  // In slices, since a call takes a bounded number of arguments.
  for (let at = 0; at < bytes.length; at += 0x8000) binary += String.fromCharCode(...bytes.subarray(at, at + 0x8000))
  return btoa(binary)
}

/** The bytes of a base64 text. @throws DOMException when it is not base64. */
export function fromBase64(base64: string): Uint8Array {
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
export function isSqsText(text: string): boolean {
  return !REFUSED.test(text)
}
