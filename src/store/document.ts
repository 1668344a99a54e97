import { toBytes } from '../protocol/index.ts'

/** Separates the parts of a value. The three separators are control characters, which JSON text never contains unescaped. */
export const SEPARATOR = '\u001f'
/** Separates the entries of a value that is a list. */
const ENTRY_SEPARATOR = '\u001e'
/** Separates the fields of a document: name, value, name, value … */
export const FIELD_SEPARATOR = '\u001d'

/** Parses a document into its fields. Returns an empty map if there is no document. `open` of `lua/documents.lua` is its counterpart. */
export function parseDocument(text: unknown): Map<string, string> {
  const fields = new Map<string, string>()
  if (typeof text !== 'string') return fields
  const parts = text.split(FIELD_SEPARATOR)
  for (let at = 0; at + 1 < parts.length; at += 2) fields.set(parts[at] as string, parts[at + 1] as string)
  return fields
}

/** Parses a list that is stored as one text. */
export const parseEntries = (text: unknown): string[] =>
  typeof text === 'string' && text !== '' ? text.split(ENTRY_SEPARATOR) : []

/**
 * Maximum characters in one part of a large value. Even if each character takes six bytes in JSON (`\\u0000`), a part stays far below
 * the 1 MB that Upstash accepted until 2025.
 */
const PART_CHARACTERS = 128 * 1024

/** Splits a text into parts that fit into a request. Never splits a surrogate pair. */
export function toParts(text: string): string[] {
  const parts: string[] = []
  for (let from = 0; from < text.length || parts.length === 0;) {
    let to = Math.min(text.length, from + PART_CHARACTERS)
    const last = text.charCodeAt(to - 1)
    if (to < text.length && last >= 0xd800 && last <= 0xdbff) to--
    parts.push(text.slice(from, to))
    from = to
  }
  return parts
}

/** Maximum length (bytes) of a name that goes unchanged into a key, a field or a member. Upstash accepts 32 KB for each of these. */
export const MAX_NAME_BYTES = 512

/** Returns the SHA-1 of a text in hexadecimal digits, as `redis.sha1hex` does. */
export async function sha1(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-1', new Uint8Array(toBytes(text)))
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/**
 * Returns the form of a name for keys, fields and members: the name itself, or a digest of a long name. `name` of `lua/shared.lua` does the
 * same.
 */
export async function toName(text: string): Promise<string> {
  return text.length * 3 <= MAX_NAME_BYTES || toBytes(text).length <= MAX_NAME_BYTES ? text : `~${await sha1(text)}`
}

/** Returns whether this is the digest of a longer name. The key `name:<digest>` holds that name. */
export const isDigest = (name: string): boolean => /^~[0-9a-f]{40}$/.test(name)

/** CDRs are indexed and counted by the quarter of an hour in which they were dialled. */
export const QUARTER_MS = 900_000
export const HOUR_MS = 3600_000
export const DAY_MS = 24 * HOUR_MS

/** Returns the time (Unix ms) of a stamp. */
export const msOf = (stamp: string): number => Number(stamp.split('|')[3])

/** The transport of states that the relay read from the dialler's keys after a gap. */
const RESYNC = 'resync'

/**
 * Returns whether stamp `a` is newer than stamp `b`, as `newer` of `lua/shared.lua` does. Sequences are compared within one source and
 * transport, times otherwise. At the same time, a heard state is newer than one that was read after a gap.
 */
export function isNewer(a: string, b: string): boolean {
  if (a === b) return false
  const [sourceA, transportA, sequenceA = '', msA] = a.split('|')
  const [sourceB, transportB, sequenceB = '', msB] = b.split('|')
  if (sourceA === sourceB && transportA === transportB && sequenceA !== '' && sequenceB !== '')
    return sequenceA > sequenceB
  if (msA !== msB) return Number(msA) > Number(msB)
  const isResync = transportA === RESYNC
  return isResync === (transportB === RESYNC) ? a > b : !isResync
}

/** Returns the source of a stamp. */
export const sourceOf = (stamp: string): string => stamp.split('|')[0] ?? ''

/** How long (s) the read model keeps each part after its last write. The read model serves live work; the permanent record is elsewhere. */
export type Expiries = {
  /** States, calls and stats of agents. Default 7 days. */
  readonly agent: number
  /** States, history and stats of campaigns. Default 30 days. */
  readonly campaign: number
  /** CDRs since their arrival, with their indexes and counts. Default 3 days: your own database is the permanent record of CDRs. */
  readonly cdr: number
  /** Dial previews, which describe the next minutes. Default 15 minutes. */
  readonly preview: number
  /** Values recorded with `latest`. Default 7 days. */
  readonly kind: number
  /** Notifications without a route. Default 7 days. */
  readonly other: number
  /** Finished ids of a message, needed for its redeliveries. Must be longer than the time for which a queue retries. Default 1 day. */
  readonly done: number
  /** Parked notifications, and replays. Default 30 days. */
  readonly parked: number
  /** Parked notifications in the bin. Default 7 days. */
  readonly bin: number
  /** The audit log. Default 90 days. */
  readonly audit: number
  /**
   * The mark of an entry that was handled or dropped, for a notice that arrives late. As long as a queue keeps a message. Default 14 days.
   */
  readonly unparked: number
  /** Gaps, the marks that make older states unsure, and relays that were ready. Default 30 days. */
  readonly gap: number
  /** Calls without a CDR, if the CDR never arrives. Default 7 days. */
  readonly missing: number
  /** The CDRs of a call reference, for a call that arrives after its CDR. Default 1 hour. */
  readonly ended: number
  /** The change stream, after the last change. Default 1 day. */
  readonly changes: number
}

const DAY = DAY_MS / 1000

export const EXPIRIES: Expiries = {
  agent: 7 * DAY,
  campaign: 30 * DAY,
  cdr: 3 * DAY,
  preview: 15 * 60,
  kind: 7 * DAY,
  other: 7 * DAY,
  done: DAY,
  parked: 30 * DAY,
  bin: 7 * DAY,
  audit: 90 * DAY,
  unparked: 14 * DAY,
  gap: 30 * DAY,
  missing: 7 * DAY,
  ended: 3600,
  changes: DAY,
}
