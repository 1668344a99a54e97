import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { createChangeDetector, sleep, sleepToBeat, type Logger } from '../../runtime/index.ts'
import { describe } from '../relay-error.ts'
import { redisAdvice } from './advice.ts'
import type { Redis } from './redis-client.ts'
import { leaseKey } from './relay-keys.ts'

export type LeaseOptions = {
  readonly client: Redis
  readonly relayId: string
  readonly log: Logger
  /** How long (ms) a lease lasts without renewal. Default 10,000. */
  readonly leaseMs?: number
  /** Default: `Date.now`. */
  readonly now?: () => number
  /** Shown to people who read the lease. Default: this process and its host. */
  readonly pid?: number
  readonly host?: string
  /** The id of the journal that this process holds alone; undefined when it has none. */
  readonly journalId?: number | undefined
  /** Called with the error when Redis refuses the lease. */
  readonly onRefused?: (error: unknown) => void
}

/** How long (ms) a relay that does not renew its lease keeps its id, and no other relay adopts its claims. */
export const LEASE_MS = 10_000

/**
 * Creates the lease: the right to a relay id in one source. Without it, two processes with the same id would adopt each other's claims. A lease names
 * the process and its journal. A former holder with the same journal is gone, on whatever host, and is replaced at once, because only one process at
 * a time can hold a journal. For any other holder, the relay waits until its lease expires.
 */
export function createLease(options: LeaseOptions) {
  const { client, relayId, log, leaseMs = LEASE_MS, now = Date.now, journalId: journal } = options
  const { pid = process.pid, host = hostname() } = options
  const lease = leaseKey(relayId)
  const holder = JSON.stringify({ host, pid, journal, run: randomUUID() })

  /** Since when (`performance.now()`) this process has held the lease without a break, with every renewal answered. */
  let steadySince = Infinity

  /**
   * True until this process holds the id. Another process that takes it later with the same journal is running: one of the two journals is a copy.
   */
  let journalProves = true

  const hold = (former: string): Promise<string> =>
    client.holdLease({ lease, holder, former, leaseMs, relayId, nowMs: now() })

  const hasOurJournal = (other: string): boolean => {
    try {
      return journal !== undefined && (JSON.parse(other) as { journal?: unknown } | null)?.journal === journal
    } catch {
      return false
    }
  }

  /** Takes or renews the lease. Resolves with the holder if that is another process, undefined when it is this one. @throws what Redis answers */
  const take = async (): Promise<string | undefined> => {
    const other = await hold('')
    if (other === holder) return undefined
    const isGone = journalProves && hasOurJournal(other)
    const held = isGone ? await hold(other) : other
    if (held !== '' && !(isGone && held === other)) return held
    // The lease may have expired: relays that did not renew theirs meanwhile may still be running.
    steadySince = performance.now()
    return undefined
  }

  return {
    /** The value of the lease while this process holds it. */
    holder,
    /** Whether the holder of a lease had our journal: one process at a time has it. */
    hasOurJournal,
    /**
     * How long (ms) this process has held the lease without a break, with every renewal answered. Relays that did not renew theirs meanwhile are
     * gone.
     */
    steadyMs: (): number => performance.now() - steadySince,
    /** Resolves with true when this process holds the id, with false when the signal aborted first. */
    async acquire(signal: AbortSignal): Promise<boolean> {
      const [heldBy, refused] = [createChangeDetector(), createChangeDetector()]
      while (!signal.aborted) {
        try {
          const other = await take()
          if (other === undefined) {
            journalProves = false
            steadySince = performance.now()
            return true
          }
          if (heldBy(other) === 'new')
            log.warn(
              { code: 'relay.lease.held', relayId, holder: other },
              'Another relay holds this ENIGMA_RELAY_ID; the relay waits until that lease expires. Give each relay its own ENIGMA_RELAY_ID',
            )
        } catch (error) {
          options.onRefused?.(error)
          // The client logs why Redis cannot be reached.
          const advice = redisAdvice(error)
          if (advice !== undefined && refused(advice) === 'new')
            log.error({ code: 'relay.lease.refused', relayId, error: describe(error) }, advice)
        }
        await sleep(250, signal)
      }
      return false
    },
    /** Renews the lease until the signal aborts. Resolves with false as soon as another process holds it. */
    async keep(signal: AbortSignal): Promise<boolean> {
      while (!signal.aborted) {
        await sleepToBeat(leaseMs / 5, signal)
        if (signal.aborted) return true
        try {
          if ((await take()) !== undefined) return false
        } catch (error) {
          steadySince = performance.now()
          const code = 'relay.lease.renew_failed'
          log.debug({ code, error: describe(error) }, 'The relay could not renew its lease; it retries')
        }
      }
      return true
    },
    /** Releases the lease, so that the next start need not wait. */
    async release(): Promise<void> {
      try {
        await client.releaseLease({ lease, holder, relayId, nowMs: now() })
      } catch (error) {
        log.debug(
          { code: 'relay.lease.release_failed', error: describe(error) },
          'The relay could not release its lease; the lease expires by itself',
        )
      }
    },
  }
}

export type Lease = ReturnType<typeof createLease>
