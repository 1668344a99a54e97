import { ProtocolError } from './notification.ts'
import { isInexact, isObject, parseExact, parseJson, toText } from './text.ts'

/*
 * Keys and packets of the dialler. Keys have the form `enigma:notifications[:type[:reference]]`. The same string may name a Redis list and be
 * the prefix of Pub/Sub channels. Everything after the colon that follows the type is the reference, so a reference may contain colons.
 * Source: the dialler's page "State Notifications".
 */

export const BASE_KEY = 'enigma:notifications'

/** The key prefix of the hashes in which a dialler keeps its current states. */
export const STATES_BASE = 'enigma'

/**
 * Returns the keys of the hashes in which a dialler keeps its current states: `{ref: status}` of all campaigns, and
 * `{extension: status}` of the agents in one campaign. Observed in the field but not documented by the vendor, so they may be absent.
 *
 * @example stateKeys().agentsOf('12') // 'enigma:campaign:12:agents'
 */
export const stateKeys = (base: string = STATES_BASE) => ({
  campaigns: `${base}:campaigns`,
  agentsOf: (campaign: string): string => `${base}:campaign:${campaign}:agents`,
})

/** The parts of a key. A part that the key does not have is undefined; a part that is present but empty is an empty string. */
export type Key =
  | { readonly type?: undefined; readonly reference?: undefined }
  | { readonly type: string; readonly reference?: string | undefined }

/**
 * Reads the parts of a key: the exact inverse of `formatKey`. Returns the type as written (see `canonicalType`), and undefined for a key
 * outside the scheme.
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
 * @throws ProtocolError `protocol.key.invalid` if the type contains a colon, because it would be read as the separator of the reference.
 * @example formatKey({ type: 'agents', reference: '1002' }) // 'enigma:notifications:agents:1002'
 */
export function formatKey(key: Key): string {
  if (key.type === undefined) return BASE_KEY
  if (key.type.includes(':'))
    throw new ProtocolError('protocol.key.invalid', `the type of a key contains a colon: ${JSON.stringify(key.type)}`)
  const typed = `${BASE_KEY}:${key.type}`
  return key.reference === undefined ? typed : `${typed}:${key.reference}`
}

/** Other spellings of types: diallers use both singular and plural. */
const PLURALS: Readonly<Record<string, string>> = {
  agent: 'agents',
  campaign: 'campaigns',
  dialer: 'dialers',
  dialler: 'dialers',
  diallers: 'dialers',
  inbounds: 'inbound',
  cdrs: 'cdr',
}

/** Returns the plural type that this project uses everywhere. Returns an unknown type unchanged. */
export const canonicalType = (type: string): string => (Object.hasOwn(PLURALS, type) ? (PLURALS[type] as string) : type)

/** The kind of notification that assigns a call to an agent. */
export type HandedBy = 'agents/call' | 'inbound/call'

/**
 * Returns the kind of call whose CDRs the dialler pushes to a list: calls of campaigns to `…:campaigns`, calls of Click2Dial to `…:cdr`.
 * Returns undefined for a list without CDRs. Source: the vendor's pages CDR and Click2Dial Redis notifications.
 */
export function callsEndedBy(list: string): HandedBy | undefined {
  const type = canonicalType(parseKey(list)?.type ?? '')
  return type === 'campaigns' ? 'agents/call' : type === 'cdr' ? 'inbound/call' : undefined
}

/** A packet: `{type: <sub_type>, payload}` in JSON. */
export type Packet = { readonly type: string; readonly payload: unknown }

/** Why a packet cannot be routed by its sub_type. Such a packet goes to the `other` route, with its bytes and this fault as the reason. */
export type PacketFault = 'empty' | 'not_utf8' | 'not_json' | 'not_object' | 'no_type' | 'type_not_string'

/**
 * A packet as received. `data` is its exact text, or its bytes if they are not valid UTF-8. A readable packet has `packet`, any other has
 * `fault`. Use `packet` for routing only: its `ref` and `call_ref` are exact, but other numbers may be rounded. To read the payload, parse
 * `data` with `parseExact`.
 */
export type ReadPacket = {
  readonly data: string | Uint8Array
  readonly contentType: 'application/json' | 'text/plain' | 'application/octet-stream'
  readonly packet?: Packet
  readonly fault?: PacketFault
}

/**
 * Reads a packet from the bytes that Redis delivered. Never throws. `toBytes(data)` returns exactly these bytes.
 *
 * @example readPacket(new TextEncoder().encode('{"type":"status","payload":{}}')).packet?.type // 'status'
 */
export function readPacket(bytes: Uint8Array): ReadPacket {
  const text = toText(bytes)
  return text === undefined
    ? { data: bytes, contentType: 'application/octet-stream', fault: 'not_utf8' }
    : readPacketText(text)
}

/** Reads a packet that is already text. */
export function readPacketText(text: string): ReadPacket {
  if (text === '') return { data: text, contentType: 'text/plain', fault: 'empty' }
  let value: unknown
  try {
    value = parseForRouting(text)
  } catch {
    return { data: text, contentType: 'text/plain', fault: 'not_json' }
  }
  const contentType = 'application/json'
  if (!isObject(value)) return { data: text, contentType, fault: 'not_object' }
  const type = value['type']
  if (type === undefined || type === null) return { data: text, contentType, fault: 'no_type' }
  if (typeof type !== 'string') return { data: text, contentType, fault: 'type_not_string' }
  return { data: text, contentType, packet: { type, payload: value['payload'] } }
}

/** Parses a packet with exact `ref` and `call_ref`, which choose the lane. The slow exact parser runs only if one of them is a number. */
function parseForRouting(text: string): unknown {
  const value = parseJson(text)
  const payload = isObject(value) ? value['payload'] : undefined
  if (!isObject(payload)) return value
  const hasNumber = typeof payload['call_ref'] === 'number' || typeof payload['ref'] === 'number'
  return hasNumber && isInexact(text) ? parseExact(text) : value
}

/** Writes a packet as the dialler does. Pass large integers as strings, because a number would be rounded. */
export const formatPacket = ({ type, payload }: Packet): string => JSON.stringify({ type, payload })
