import { ProtocolError } from './errors.ts'

/**
 * The dialler's keys: `enigma:notifications[:type[:reference]]`. The same string may name a Redis list and be the prefix of
 * PubSub channels. Source: the dialler's page "State Notifications"; everything after the second colon behind the type is the
 * reference, so a reference may itself contain colons.
 */

export const BASE_KEY = 'enigma:notifications'

/** A key, taken apart. An absent part is absent from the key; an empty string is a part that is there and empty. */
export type Key =
  | { readonly type?: undefined; readonly reference?: undefined }
  | { readonly type: string; readonly reference?: string | undefined }

/**
 * Takes a key apart; the exact inverse of `formatKey`. The type is returned as written (see `canonicalType`).
 * Returns undefined for a key outside the scheme.
 *
 * @example parseKey('enigma:notifications:agents:1002') // { type: 'agents', reference: '1002' }
 */
export function parseKey(key: string): Key | undefined {
  if (!key.startsWith(BASE_KEY)) return undefined
  if (key.length === BASE_KEY.length) return {}
  if (key[BASE_KEY.length] !== ':') return undefined
  const rest = key.slice(BASE_KEY.length + 1)
  const colon = rest.indexOf(':')
  return colon < 0 ? { type: rest } : { type: rest.slice(0, colon), reference: rest.slice(colon + 1) }
}

/**
 * Writes a key.
 *
 * @throws ProtocolError `protocol.key.invalid` when the type has a colon: it could not be told from the reference.
 * @example formatKey({ type: 'agents', reference: '1002' }) // 'enigma:notifications:agents:1002'
 */
export function formatKey(key: Key): string {
  if (key.type === undefined) return BASE_KEY
  if (key.type.includes(':'))
    throw new ProtocolError('protocol.key.invalid', `the type of a key contains a colon: ${JSON.stringify(key.type)}`)
  const typed = `${BASE_KEY}:${key.type}`
  return key.reference === undefined ? typed : `${typed}:${key.reference}`
}

/** Singular and plural are both in use on diallers: what is written `agent` in one place is `agents` in another. */
const PLURALS: Readonly<Record<string, string>> = {
  agent: 'agents',
  campaign: 'campaigns',
  dialer: 'dialers',
  dialler: 'dialers',
  diallers: 'dialers',
  inbounds: 'inbound',
  cdrs: 'cdr',
}

/** The plural type that this project uses everywhere; an unknown type is returned as it is. */
export function canonicalType(type: string): string {
  return Object.hasOwn(PLURALS, type) ? (PLURALS[type] as string) : type
}
