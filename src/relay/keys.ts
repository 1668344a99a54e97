/** The relay's own keys in the dialler's Redis, all under `enigma:relay:`. */

export const RELAY_PREFIX = 'enigma:relay:'

/** The source id by which relays call this server, `<id>` or `<id>/<database>`; in database 0, whichever of them a relay uses. */
export const SOURCE_KEY = `${RELAY_PREFIX}source`

/** The last number given out to a claim or an epoch. */
export const NUMBER_KEY = `${RELAY_PREFIX}number`

/** Hash: list key → when (ms, the relay's clock) it was last seen empty. */
export const SEEN_EMPTY_KEY = `${RELAY_PREFIX}empty`

/** List: what cannot be sent at all, oldest first. */
export const PARKED_KEY = `${RELAY_PREFIX}parked`

/** Hash: relay id → where it keeps what the parked list has no room for, as `<host>:<file>`. */
export const PARKED_FILES_KEY = `${PARKED_KEY}:files`

/** Hash: a claim's number → `<taken ms>:<longest wait ms>:<list key>`; and `waiting:<list key>` → 1. */
export const claimsKey = (relayId: string) => `${RELAY_PREFIX}claims:${relayId}`

/** List: the items of a claim, in the order in which they are sent. Its number is appended. */
export const claimPrefix = (relayId: string) => `${RELAY_PREFIX}claim:${relayId}:`

/** Set: the indexes in a claim that are parked or were sent, and are not to be sent again. */
export const settledKey = (relayId: string, number: number) => `${claimPrefix(relayId)}${number}:settled`

/** List: what a blocking move took and no claim has yet. The list key is appended. */
export const waitingPrefix = (relayId: string) => `${RELAY_PREFIX}waiting:${relayId}:`
export const waitingKey = (relayId: string, list: string) => waitingPrefix(relayId) + list

/** Who holds a relay id. */
export const leaseKey = (relayId: string) => `${RELAY_PREFIX}lease:${relayId}`

/** Sorted set: relay id → when (ms) its lease was last renewed. Where a relay looks for what others left. */
export const RELAYS_KEY = `${RELAY_PREFIX}relays`

/** A key that is never there: it stands for none, and deleting it needs no memory. */
export const NONE_KEY = `${RELAY_PREFIX}none`

/** The heartbeat's channel: relays with the same patterns share it, and so give the same ids. */
export const heartbeatChannel = (patternHash: string) => `${RELAY_PREFIX}heartbeat:${patternHash}`
