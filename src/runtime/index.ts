import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'

/* How a process of this project is configured, logs, and ends. First: environment variables. All faults are reported at once, each with its fix. */

export type Env = Readonly<Record<string, string | undefined>>

/** A variable that cannot be used, with its problem and its fix. Never contains the value of a secret. */
export type EnvFault = { readonly name: string; readonly problem: string; readonly fix: string }

export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly code = 'config.variables.invalid'
  readonly faults: readonly EnvFault[]

  constructor(faults: readonly EnvFault[]) {
    const lines = faults.map((fault) => `  ${fault.name}: ${fault.problem}\n    ${fault.fix}`)
    super(
      `${faults.length === 1 ? 'one environment variable is' : `${faults.length} environment variables are`} not valid:\n${lines.join('\n')}`,
    )
    this.faults = faults
  }
}

/** Reads variables and collects their faults. */
export type EnvReader = {
  /**
   * Returns the value, or the default when the variable is unset or empty. `parse` calls `fault` for a value that cannot be used; the result is then
   * undefined.
   */
  read: <T>(
    name: string,
    fallback: string,
    parse: (text: string, fault: (problem: string, fix: string) => never) => T,
  ) => T | undefined
  /** Throws a `ConfigError` when there was any fault. */
  check: () => void
}

/** Ends the parsing of a variable whose fault is recorded. */
class Fault extends Error {
  override readonly name = 'Fault'
}

export function createEnvReader(env: Env): EnvReader {
  const faults: EnvFault[] = []
  return {
    read: (name, fallback, parse) => {
      try {
        return parse(env[name]?.trim() || fallback, (problem, fix) => {
          faults.push({ name, problem, fix })
          throw new Fault(problem)
        })
      } catch (error) {
        if (!(error instanceof Fault)) throw error
        return undefined
      }
    },
    check: () => {
      if (faults.length > 0) throw new ConfigError(faults)
    },
  }
}

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/**
 * Names an event, and never changes: `relay.sqs.throttled` is room, part, event. Tests, doctor and alarms match codes. docs/logs.md lists each with
 * its meaning and remedy.
 */
export type Code = `${string}.${string}.${string}`

/** Writes one line: the code and fields for a machine, the sentence for a human. No payload and no secret; phone numbers are masked. */
type WriteLine = (fields: { readonly code: Code; readonly [field: string]: unknown }, sentence: string) => void

export type Logger = { readonly [level in Exclude<LogLevel, 'silent'>]: WriteLine }

/** Creates a logger that writes JSON lines to standard output, or to `destination`. */
export function createLog(level: LogLevel, destination?: { write: (line: string) => void }): Logger {
  const options = { level, base: null, timestamp: () => `,"time":"${new Date().toISOString()}"` }
  if (destination !== undefined) return pino(options, destination)
  const output = pino.destination({ fd: process.stdout.fd, maxLength: MAX_WAITING_LOG })
  const flushSync = output.flushSync.bind(output)
  const log: Logger = pino(options, output)
  let dropped = 0
  output.on('drop', () => void dropped++)
  // A full disk. The lines wait, and the process goes on. At its exit, pino would try to write them until there is space.
  output.on('error', () => void (output.flushSync = () => undefined))
  output.on('write', () => {
    output.flushSync = flushSync
    const lines = dropped
    dropped = 0
    if (lines > 0)
      log.warn({ code: 'relay.log.dropped', lines }, 'Log lines were dropped because they could not be written')
  })
  return log
}

/** The maximum size of log lines that wait because they cannot be written (characters). Further lines are dropped. */
const MAX_WAITING_LOG = 1024 * 1024

/**
 * Returns a function that decides whether a lasting problem is worth a log line, so that each problem is logged once. Call it with the present
 * problem (undefined: none). It returns `new` when the problem differs from the one before, `over` when there is none any more, and undefined while
 * nothing changes.
 */
export function createChangeDetector(): (what: string | undefined) => 'new' | 'over' | undefined {
  let known: string | undefined
  return (what) => {
    if (what === known) return undefined
    known = what
    return what === undefined ? 'over' : 'new'
  }
}

/** One key press may send a signal from the terminal, from npm and from a launcher. The same signal within this time (ms) counts as one. */
const SAME_PRESS_MS = 1_000

/**
 * Creates a signal that aborts on the first SIGINT or SIGTERM. A second one ends the process at once with exit code 130, for the user who does not
 * want to wait. `dispose` removes the handlers.
 */
export function createShutdown(process: NodeJS.Process): { readonly signal: AbortSignal; dispose: () => void } {
  const controller = new AbortController()
  let last: { readonly name: NodeJS.Signals; readonly atMs: number } | undefined
  const stop = (name: NodeJS.Signals) => {
    const atMs = performance.now()
    const isCopy = last?.name === name && atMs - last.atMs < SAME_PRESS_MS
    last = { name, atMs }
    if (isCopy) return
    if (controller.signal.aborted) process.exit(130)
    controller.abort(new Error(`received ${name}`))
  }
  process.on('SIGINT', stop).on('SIGTERM', stop)
  return {
    signal: controller.signal,
    dispose: () => void process.off('SIGINT', stop).off('SIGTERM', stop),
  }
}

/** Registers how to release a resource. Resources are released last in, first out. */
export type Release = (release: () => void | Promise<void>) => void

/**
 * Runs `body`, then releases the resources that it registered, the last one first, even if it threw. Every release is tried. @throws the error of the
 * body or of a release. When there are several, throws an AggregateError of all of them, with the error of the body first
 */
export async function withReleasers<T>(body: (release: Release) => Promise<T>): Promise<T> {
  const releasers: (() => void | Promise<void>)[] = []
  const errors: unknown[] = []
  let result: { value: T } | undefined
  try {
    result = { value: await body((release) => void releasers.push(release)) }
  } catch (error) {
    errors.push(error)
  }
  for (const release of releasers.toReversed()) {
    try {
      await release()
    } catch (error) {
      errors.push(error)
    }
  }
  if (errors.length > 1) throw new AggregateError(errors, 'several errors occurred; the first one is the cause')
  if (result === undefined || errors.length > 0) throw errors[0]
  return result.value
}

/** Waits `ms`, or less when the signal aborts. Resolves in both cases: a loop must check its signal, but need not catch an error. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal })
  } catch {
    // Aborted: that is what the caller asked for.
  }
}

/** Settles as `promise` does. @throws the error of `late` when that takes longer than `limitMs` */
export async function within<T>(limitMs: number, promise: Promise<T>, late: () => Error): Promise<T> {
  const { promise: never, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(late()), limitMs)
  try {
    return await Promise.race([promise, never])
  } finally {
    clearTimeout(timer)
  }
}

/** Returns the time (ms) until the next multiple of `everyMs`, or until the one after it if the next is less than half of `everyMs` away. */
export function msToBeat(everyMs: number, nowMs: number): number {
  const pastMs = nowMs % everyMs
  return pastMs <= everyMs / 2 ? everyMs - pastMs : 2 * everyMs - pastMs
}

/**
 * Waits for the next beat of a rhythm that all loops of the process share, so that loops with the same interval wake an idle process once. A wait
 * lasts from half of `everyMs` to one and a half of it. Resolves as `sleep` does.
 */
export const sleepToBeat = (everyMs: number, signal?: AbortSignal): Promise<void> =>
  sleep(msToBeat(everyMs, performance.now()), signal)

/** Exponential back-off with full jitter. Source: https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/ */
export type BackoffOptions = {
  /** The upper bound of the first wait, ms. Default 100. */
  readonly baseMs?: number
  /** The upper bound of any wait, ms. Default 2,000: after a recovery, work resumes within two seconds. */
  readonly maxMs?: number
  /** A number in [0, 1). Default `Math.random`. */
  readonly random?: () => number
}

/** Returns how long (ms) to wait after this many failures (1, 2, 3 …) before the next attempt: a random part of the upper bound, at least 10 ms. */
export function backoffMs(failures: number, options: BackoffOptions = {}): number {
  const { baseMs = 100, maxMs = 2_000, random = Math.random } = options
  const bound = Math.min(maxMs, baseMs * 2 ** Math.min(failures - 1, 30))
  return Math.max(10, random() * bound)
}

/** Returns a function that runs pieces of work one after the other, in the order of the calls. */
export function createTurns(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const turn = last.then(work, work)
    last = turn.catch(() => undefined)
    return turn
  }
}
