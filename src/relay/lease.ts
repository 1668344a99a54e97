import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { sleep, type Logger } from '../runtime/index.ts'
import { describe } from './errors.ts'
import { leaseKey, RELAYS_KEY } from './keys.ts'
import type { Redis } from './redis.ts'
import { redisAdvice } from './redis-advice.ts'

export type LeaseOptions = {
  readonly client: Redis
  readonly relayId: string
  readonly log: Logger
  /** How long (ms) a relay that says nothing holds its id. Default 10,000. */
  readonly leaseMs?: number
  /** Default: `Date.now`. */
  readonly now?: () => number
  readonly pid?: number
  readonly host?: string
}

/** How long (ms) a relay that says nothing holds its id, and keeps others from its claims. */
export const LEASE_MS = 10_000

/** Whether a process of this number runs on this host. */
export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: there is such a process, of another user.
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/**
 * The right to a relay id in one source: two processes with the same id would take up each other's claims. A lease names host
 * and process. A dead process on the same host is replaced at once; any other holder is waited for until its lease ran out.
 */
export function createLease({ client, relayId, log, leaseMs = LEASE_MS, now = Date.now, pid = process.pid, host = hostname() }: LeaseOptions) {
  const key = leaseKey(relayId)
  const holder = JSON.stringify({ host, pid, run: randomUUID() })

  const isDead = (other: string): boolean => {
    try {
      const parsed = JSON.parse(other) as { host?: unknown; pid?: unknown }
      if (parsed.host !== host || typeof parsed.pid !== 'number') return false
      // The same number is a former life of this very process: in a container each has number 1.
      return parsed.pid === pid ? other !== holder : !isAlive(parsed.pid)
    } catch {
      return false
    }
  }

  const take = (former: string) => client.takeLease([key, RELAYS_KEY], [holder, former, leaseMs, relayId, now()])

  /** Undefined when it is ours, else who holds it. */
  const tryTake = async (): Promise<string | undefined> => {
    let other = await take('')
    if (other !== '' && isDead(other)) other = await take(other)
    return other === '' ? undefined : other
  }

  return {
    /** Resolves with true when the id is ours, with false when the signal aborted first. */
    async acquire(signal: AbortSignal): Promise<boolean> {
      let said = ''
      let failed = ''
      while (!signal.aborted) {
        try {
          const other = await tryTake()
          if (other === undefined) return true
          if (said !== other) log.warn({ relayId, holder: other }, 'another relay holds this ENIGMA_RELAY_ID: waiting until its lease runs out; give each relay an id of its own')
          said = other
        } catch (error) {
          // What keeps it from being reached at all is said by the client.
          const advice = redisAdvice(error)
          if (advice !== undefined && advice !== failed) log.error({ relayId, error: describe(error) }, advice)
          failed = advice ?? failed
        }
        await sleep(250, signal)
      }
      return false
    },
    /** Keeps it until the signal aborts. Resolves with false as soon as somebody else holds it. */
    async keep(signal: AbortSignal): Promise<boolean> {
      while (!signal.aborted) {
        await sleep(leaseMs / 4, signal)
        if (signal.aborted) return true
        try {
          // It ran out while Redis was away: still ours, unless somebody took it meanwhile.
          if ((await client.renewLease([key, RELAYS_KEY], [holder, leaseMs, relayId, now()])) === 0 && (await tryTake()) !== undefined) return false
        } catch (error) {
          log.debug({ error: describe(error) }, 'the lease cannot be renewed yet')
        }
      }
      return true
    },
    /** Gives it back, so that the next start need not wait. */
    async release(): Promise<void> {
      try {
        await client.releaseLease([key], [holder])
      } catch (error) {
        log.debug({ error: describe(error) }, 'the lease was not given back: it runs out by itself')
      }
    },
  }
}

export type Lease = ReturnType<typeof createLease>
