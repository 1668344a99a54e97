import { toBytes } from '../protocol/index.ts'

/** A control character, which no JSON text holds unescaped, separates the parts of a value … */
export const SEPARATOR = '\u001f'
/** … the entries of a value that is a list … */
const ENTRY_SEPARATOR = '\u001e'
/** … and the fields of a document: name, value, name, value … */
export const FIELD_SEPARATOR = '\u001d'

/** The fields of a document; empty where there is none. As `open` of `lua/documents.lua` reads it. */
export function parseDocument(text: unknown): Map<string, string> {
  const fields = new Map<string, string>()
  if (typeof text !== 'string') return fields
  const parts = text.split(FIELD_SEPARATOR)
  for (let at = 0; at + 1 < parts.length; at += 2) fields.set(parts[at] as string, parts[at + 1] as string)
  return fields
}

/** The entries of a list that is one text. */
export const parseEntries = (text: unknown): string[] =>
  typeof text === 'string' && text !== '' ? text.split(ENTRY_SEPARATOR) : []

/** Characters in one part of a large value: even if each takes six in JSON (`\\u0000`), a part stays far under Upstash's 1 MB. */
const PART_CHARACTERS = 128 * 1024

/** Cuts a text into parts that a request can carry; never between the halves of a surrogate pair. */
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

/** Longest name (bytes) that is part of a key, or a field or a member of one, as it is. Upstash takes 32 KB for each of these. */
const MOST_BYTES = 512

/** The SHA-1 of a text, in hexadecimal digits: what Redis calls it too. */
export async function sha1(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-1', new Uint8Array(toBytes(text)))
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** What stands for a name in keys, fields and members: the name, or its digest where it is long. As `name` of the script has it. */
export async function toName(text: string): Promise<string> {
  return text.length * 3 <= MOST_BYTES || toBytes(text).length <= MOST_BYTES ? text : `~${await sha1(text)}`
}

/** Whether this stands for a longer name, which the key `name:<it>` holds. */
export const isDigest = (name: string): boolean => /^~[0-9a-f]{40}$/.test(name)

export const QUARTER_MS = 900_000

export const HOUR_MS = 3600_000

export const DAY_MS = 24 * HOUR_MS

/** Unix ms of a stamp. */
export const msOf = (stamp: string): number => Number(stamp.split('|')[3])

/** Read from the dialler's own notes after a gap. */
const RESYNC = 'resync'

/** As in the script: sequences compare within one source and transport, else times do; of one time, what was heard wins. */
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

export const sourceOf = (stamp: string): string => stamp.split('|')[0] ?? ''

/** How long (s) each part of the read model is kept after it was last written. It serves the live work; the record is elsewhere. */
export type Expiries = {
  /** Agents' states, calls and stats. Default 7 days. */
  readonly agent: number
  /** Campaigns' states, history and stats. Default 30 days. */
  readonly campaign: number
  /** CDRs from when they came, their indexes and counters. Default 3 days: the record of CDRs is your own database. */
  readonly cdr: number
  /** A dial preview: it speaks of the next minutes. Default 15 minutes. */
  readonly preview: number
  /** Values that `latest` keeps. Default 7 days. */
  readonly kind: number
  /** What had no route of its own. Default 7 days. */
  readonly other: number
  /** What is done of a message that comes again; longer than a queue retries. Default 1 day. */
  readonly done: number
  /** Parked notifications, and replays. Default 30 days. */
  readonly parked: number
  /** Parked notifications that were deleted. Default 7 days. */
  readonly bin: number
  /** Who wrote or revealed what. Default 90 days. */
  readonly audit: number
  /** That it was sent again or dropped, for a `parked` that comes late; as long as a queue keeps one. Default 14 days. */
  readonly unparked: number
  /** Spans in which PubSub was not heard, and that states from before them are unsure; relays that were ready. Default 30 days. */
  readonly gap: number
  /** Calls whose CDR is missing, should it never come. Default 7 days. */
  readonly missing: number
  /** The CDRs of a reference, for a call packet that comes after its CDR. Default 1 hour. */
  readonly ended: number
  /** The stream of changes, after the last one. Default 1 day. */
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
