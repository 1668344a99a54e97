/* Masks: personal data (numbers, contacts, recordings, callees) never reaches a log or an error text unmasked. */

const PERSONAL = new Set(['number', 'dial_number', 'contact_ref', 'recording_url', 'callees'])

/** Masks a phone number: `27821234567` → `27*******67`. Replaces numbers of fewer than 7 characters by asterisks only. */
export const maskNumber = (number: string): string =>
  number.length < 7 ? '*'.repeat(number.length) : number.slice(0, 2) + '*'.repeat(number.length - 4) + number.slice(-2)

/** Returns a copy of a payload, or of a value that contains payloads, with personal fields masked and `callees` replaced by their number. */
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

/** The shortest personal value that is masked. A shorter one, such as an extension or `1`, would mask half of a text by coincidence. */
const MIN_MASKED_LENGTH = 4

/** Five consecutive digits, or seven and more with the separators that are usual in phone numbers. */
const DIGITS = /\p{Nd}(?:[ ()+-]{0,2}\p{Nd}){6,}|\p{Nd}{5,}/gu

/** Masks a foreign text, such as an error or a response: long runs of digits, and every personal value of the payload that it is about. */
export function maskText(text: string, payload?: unknown): string {
  let masked = text
  for (const value of personalValues(payload)) masked = masked.replaceAll(value, '*'.repeat(value.length))
  return masked.replace(DIGITS, (digits) => '*'.repeat(digits.length))
}

function personalValues(value: unknown, isPersonal = false): string[] {
  if (typeof value === 'string' || typeof value === 'number') {
    const text = String(value)
    return isPersonal && text.length >= MIN_MASKED_LENGTH ? [text] : []
  }
  if (typeof value !== 'object' || value === null) return []
  if (Array.isArray(value)) return value.flatMap((inner) => personalValues(inner, isPersonal))
  return Object.entries(value).flatMap(([name, inner]) => personalValues(inner, isPersonal || PERSONAL.has(name)))
}
