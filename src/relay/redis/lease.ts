import { randomUUID } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { sleep, type Logger } from '../../runtime/index.ts'
import { describe } from '../errors.ts'
import { leaseKey, RELAYS_KEY } from './keys.ts'
import type { Redis } from './client.ts'
import { redisAdvice } from './advice.ts'

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
  /** Called with what keeps it from being had. */
  readonly onRefused?: (error: unknown) => void
  /** Names the journal that this process holds alone. */
  readonly journal?: number | undefined
  /** Where process numbers mean the same: each machine and container has its own. Default: the kernel's names for it, '' where there are none. */
  readonly pidSpace?: string
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
 * Linux names the space that a process' number belongs to (https://man7.org/linux/man-pages/man7/pid_namespaces.7.html), by the same name on
 * every machine. Machines may share a host name as well, as copies of one image do: what tells them apart is the id of their last start
 * (https://man7.org/linux/man-pages/man5/proc_sys_kernel.5.html).
 */
export function readPidSpace(): string {
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    return ''
  }
}

/**
 * The right to a relay id in one source: two processes with the same id would take up each other's claims. A lease names host,
 * process and journal. A dead process on the same host is replaced at once, and so is whoever had our journal before us, on any host; any other
 * holder is waited for until its lease ran out.
 */
export function createLease(options: LeaseOptions) {
  const {
    client,
    relayId,
    log,
    leaseMs = LEASE_MS,
    now = Date.now,
    pid = process.pid,
    host = hostname(),
    journal,
    pidSpace = readPidSpace(),
  } = options
  const key = leaseKey(relayId)
  const holder = JSON.stringify({ host, pid, pidSpace, journal, run: randomUUID() })

  /** Since when (`performance.now()`) it was ours without a break, and every renewal was answered. */
  let steadySince = Infinity

  /** Before we held the id. Who takes it from us later, with the same journal, runs: one of the two journals is a copy of the other. */
  let journalProves = true

  const isDead = (other: string): boolean => {
    if (other === holder) return false
    try {
      const parsed = JSON.parse(other) as { host?: unknown; pid?: unknown; pidSpace?: unknown; journal?: unknown }
      // One process at a time can have the journal, and we do: whatever host it names, as a container made anew has another.
      if (journalProves && journal !== undefined && parsed.journal === journal) return true
      if (parsed.host !== host || typeof parsed.pid !== 'number') return false
      // Two containers on one host both have a number 1: of the other nothing is known.
      return parsed.pidSpace === pidSpace && (parsed.pid === pid || !isAlive(parsed.pid))
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
    /** What the lease says while it is ours. */
    holder,
    /** How long (ms) it has been ours without a break, with every renewal answered: who could not renew theirs meanwhile are gone. */
    steadyMs: (): number => performance.now() - steadySince,
    /** Resolves with true when the id is ours, with false when the signal aborted first. */
    async acquire(signal: AbortSignal): Promise<boolean> {
      let said = ''
      let failed = ''
      while (!signal.aborted) {
        try {
          const other = await tryTake()
          if (other === undefined) {
            journalProves = false
            steadySince = performance.now()
            return true
          }
          if (said !== other)
            log.warn(
              { code: 'relay.lease.held', relayId, holder: other },
              'Another relay holds this ENIGMA_RELAY_ID; the relay waits until that lease expires. Give each relay its own ENIGMA_RELAY_ID',
            )
          said = other
        } catch (error) {
          options.onRefused?.(error)
          // What keeps it from being reached at all is said by the client.
          const advice = redisAdvice(error)
          if (advice !== undefined && advice !== failed)
            log.error({ code: 'relay.lease.refused', relayId, error: describe(error) }, advice)
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
          if ((await client.renewLease([key, RELAYS_KEY], [holder, leaseMs, relayId, now()])) === 0) {
            if ((await tryTake()) !== undefined) return false
            steadySince = performance.now()
          }
        } catch (error) {
          steadySince = performance.now()
          log.debug(
            { code: 'relay.lease.renew_failed', error: describe(error) },
            'The relay could not renew its lease; it retries',
          )
        }
      }
      return true
    },
    /** Gives it back, so that the next start need not wait. */
    async release(): Promise<void> {
      try {
        await client.releaseLease([key, RELAYS_KEY], [holder, relayId, now()])
      } catch (error) {
        log.debug(
          { code: 'relay.lease.release_failed', error: describe(error) },
          'The relay could not release its lease; the lease expires by itself',
        )
      }
    },
  }
}

/** Whether who holds a lease had this journal. One process at a time has a journal. */
export function hasJournal(holder: string, journal: LeaseOptions['journal']): boolean {
  try {
    return journal !== undefined && (JSON.parse(holder) as { journal?: unknown } | null)?.journal === journal
  } catch {
    return false
  }
}

export type Lease = ReturnType<typeof createLease>
