import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { sleep, type Logger } from '../runtime/index.ts'
import { describe } from './errors.ts'
import { leaseKey } from './keys.ts'
import type { Redis } from './redis.ts'

export type LeaseOptions = {
  readonly client: Redis
  readonly relayId: string
  readonly log: Logger
  /** How long (ms) a relay that says nothing holds its id. Default 10,000. */
  readonly leaseMs?: number
  readonly pid?: number
  readonly host?: string
}

const isAlive = (pid: number): boolean => {
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
export function createLease({ client, relayId, log, leaseMs = 10_000, pid = process.pid, host = hostname() }: LeaseOptions) {
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

  const tryTake = async (): Promise<string | undefined> => {
    if ((await client.set(key, holder, { condition: 'NX', expiration: { type: 'PX', value: leaseMs } })) !== null) return undefined
    const other = await client.get(key)
    if (other === null || other === holder) return other === null ? 'nobody' : undefined
    if (isDead(other) && (await client.replaceLease([key], [other, holder, leaseMs])) === 1) return undefined
    return other
  }

  return {
    /** Resolves with true when the id is ours, with false when the signal aborted first. */
    async acquire(signal: AbortSignal): Promise<boolean> {
      let said = ''
      while (!signal.aborted) {
        try {
          const other = await tryTake()
          if (other === undefined) return true
          if (said !== other && other !== 'nobody') log.warn({ relayId, holder: other }, 'another relay holds this ENIGMA_RELAY_ID: waiting until its lease runs out; give each relay an id of its own')
          said = other
        } catch (error) {
          log.debug({ error: describe(error) }, 'the lease cannot be asked for yet')
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
          if ((await client.renewLease([key], [holder, leaseMs])) === 0 && (await tryTake()) !== undefined) return false
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
