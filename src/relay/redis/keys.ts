/** The relay's own keys in the dialler's Redis, all under `enigma:relay:`. */

export const RELAY_PREFIX = 'enigma:relay:'

/** The source id by which relays call this server, `<id>` or `<id>/<database>`; in database 0, whichever of them a relay uses. */
export const SOURCE_KEY = `${RELAY_PREFIX}source`

/** The last number given out to a claim or an epoch. */
export const NUMBER_KEY = `${RELAY_PREFIX}number`

/** String: what the number was when it was no number. Until a relay has reported it. */
export const DAMAGED_NUMBER_KEY = `${NUMBER_KEY}:damaged`

/**
 * Hash: list key → since when (ms, the relay's clock) all that is on the list came, as a rule when it was last empty; and
 * `mark:<list key>` → `<ms>:<items>`: what else must be taken before all of it came after that time.
 */
export const SEEN_EMPTY_KEY = `${RELAY_PREFIX}empty`

/** List: what cannot be sent at all, oldest first. */
export const PARKED_KEY = `${RELAY_PREFIX}parked`

/** Hash: relay id → where it keeps what the parked list has no room for, as `<host>:<file>`. */
export const PARKED_FILES_KEY = `${PARKED_KEY}:files`

/**
 * Hash: a claim's number → `<taken ms>:<longest wait ms>:<list key>`, with `@<index>,<index>…` before the list when the claim holds only
 * those of its items; and `waiting:<list key>` → `<generation>:<ms>`: the generation of takes, and when the relay last found nothing.
 */
export const claimsKey = (relayId: string) => `${RELAY_PREFIX}claims:${relayId}`

/** In that hash: a list whose items a blocking move may have taken. The list key is appended. */
export const WAITING_FIELD = 'waiting:'
export const waitingField = (list: string) => WAITING_FIELD + list

/** List: the items of a claim, in the order in which they are sent. Its number is appended. */
export const claimPrefix = (relayId: string) => `${RELAY_PREFIX}claim:${relayId}:`

/** Set: the indexes in a claim that are parked, and are not to be sent. */
export const settledKey = (relayId: string, number: number) => `${claimPrefix(relayId)}${number}:settled`

/** List: what a blocking move took and no claim has yet. The list key is appended. */
export const waitingPrefix = (relayId: string) => `${RELAY_PREFIX}waiting:${relayId}:`
export const waitingKey = (relayId: string, list: string) => waitingPrefix(relayId) + list

/** Who holds a relay id. */
export const leaseKey = (relayId: string) => `${RELAY_PREFIX}lease:${relayId}`

/** Sorted set: relay id → when (ms) its lease was last renewed, less than 0 when it gave it back. Where a relay looks for what others left. */
export const RELAYS_KEY = `${RELAY_PREFIX}relays`

/** A key that is never there: it stands for none, and deleting it needs no memory. */
export const NONE_KEY = `${RELAY_PREFIX}none`

/** The heartbeat's channel: relays with the same patterns share it, and so give the same ids. */
export const heartbeatChannel = (patternHash: string) => `${RELAY_PREFIX}heartbeat:${patternHash}`
