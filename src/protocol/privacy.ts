/** Personal data never reaches a log or an error text unmasked: numbers, contacts, recordings, callees. */

const PERSONAL = new Set(['number', 'dial_number', 'contact_ref', 'recording_url', 'callees'])

/** `27821234567` → `27*******67`; what is too short to show is all stars. */
export const maskNumber = (number: string): string =>
  number.length < 7 ? '*'.repeat(number.length) : number.slice(0, 2) + '*'.repeat(number.length - 4) + number.slice(-2)

/** A copy of a payload (or of anything that holds one) that may be shown: personal fields masked, `callees` only counted. */
export function maskPayload(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(maskPayload)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => {
      if (!PERSONAL.has(name) || inner === null) return [name, maskPayload(inner)]
      if (Array.isArray(inner)) return [name, `${inner.length} masked`]
      return [name, typeof inner === 'object' ? 'masked' : maskNumber(String(inner))]
    }),
  )
}

/** Shorter values (an extension, `1`) would mask half of the text; a phone number or an account is longer. */
const SHORTEST_VALUE = 4

/** Five digits in a row, or seven and more with the separators that phone numbers are written with. */
const DIGITS = /\p{Nd}(?:[ ()+-]{0,2}\p{Nd}){6,}|\p{Nd}{5,}/gu

/**
 * A text from elsewhere (an error, an answer) that may be shown: long runs of digits are masked, and so is every personal value of
 * the payload that the text is about.
 */
export function maskText(text: string, payload?: unknown): string {
  let masked = text
  for (const value of personalValues(payload)) masked = masked.replaceAll(value, '*'.repeat(value.length))
  return masked.replace(DIGITS, (digits) => '*'.repeat(digits.length))
}

function personalValues(value: unknown, personal = false): string[] {
  if (typeof value === 'string' || typeof value === 'number') {
    const text = String(value)
    return personal && text.length >= SHORTEST_VALUE ? [text] : []
  }
  if (typeof value !== 'object' || value === null) return []
  if (Array.isArray(value)) return value.flatMap((inner) => personalValues(inner, personal))
  return Object.entries(value).flatMap(([name, inner]) => personalValues(inner, personal || PERSONAL.has(name)))
}
