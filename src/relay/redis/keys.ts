/** The relay's own keys in the dialler's Redis, all under `enigma:relay:`. */

export const RELAY_PREFIX = 'enigma:relay:'

/** String: the name of this server, `<id>` or `<id>/<database>`. Always in database 0. */
export const SOURCE_KEY = `${RELAY_PREFIX}source`

/** String: the last number given out to a claim, an epoch or a notice. */
export const NUMBER_KEY = `${RELAY_PREFIX}number`

/** String: the value of the counter when it was no number, until a relay has reported it. */
export const DAMAGED_NUMBER_KEY = `${NUMBER_KEY}:damaged`

/**
 * Hash: list key → a time (ms, the relay's clock) before all items of the list arrived, usually when it was last empty; and
 * `mark:<list key>` → `<ms>:<items>`: once so many more items are taken, all others arrived after that time.
 */
export const SEEN_EMPTY_KEY = `${RELAY_PREFIX}empty`

/** List: parked notifications, oldest first. */
export const PARKED_KEY = `${RELAY_PREFIX}parked`

/** Hash: relay id → `<host>:<file>`, its file of parked notifications for which the list has no room. */
export const PARKED_FILES_KEY = `${PARKED_KEY}:files`

/**
 * Hash: a claim's number → `<taken ms>:<longest wait ms>:<list key>`, with `@<index>,<index>…` before the list when the claim holds only
 * those of its items; `attempts:<number>` → `<index>=<attempt>,…` for those that are past the first; and `waiting:<list key>` →
 * `<generation>:<ms>`: the generation of takes, and when the relay last found nothing.
 */
export const claimsKey = (relayId: string) => `${RELAY_PREFIX}claims:${relayId}`

/** In that hash: a list from which a blocking move may have taken items. The list key is appended. */
export const WAITING_FIELD = 'waiting:'
export const waitingField = (list: string) => WAITING_FIELD + list

/** In that hash: the attempts of a claim's items, which the scripts write too. */
export const attemptsField = (number: number) => `attempts:${number}`

/** List: the items of a claim, in the order in which they are sent. Its number is appended. */
export const claimPrefix = (relayId: string) => `${RELAY_PREFIX}claim:${relayId}:`

/** Set: the indexes of a claim's items that are parked, and must not be sent. */
export const settledKey = (relayId: string, number: number) => `${claimPrefix(relayId)}${number}:settled`

/** List: items that a blocking move took and no claim has yet. The list key is appended. */
export const waitingPrefix = (relayId: string) => `${RELAY_PREFIX}waiting:${relayId}:`
export const waitingKey = (relayId: string, list: string) => waitingPrefix(relayId) + list

/** String: which process holds a relay id. */
export const leaseKey = (relayId: string) => `${RELAY_PREFIX}lease:${relayId}`

/** Sorted set: relay id → when (ms) its lease was last renewed, negative when it was released. Where a relay looks for leftovers of others. */
export const RELAYS_KEY = `${RELAY_PREFIX}relays`

/** A key that never exists: deleting it is a write that needs no memory. */
export const NONE_KEY = `${RELAY_PREFIX}none`

/** The heartbeat's channel: relays with the same patterns share it, and so give the same ids. */
export const heartbeatChannel = (patternHash: string) => `${RELAY_PREFIX}heartbeat:${patternHash}`
