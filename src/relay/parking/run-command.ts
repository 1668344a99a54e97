import { isTooLarge, maskText, type Route, type RelayCommand, type Routes } from '../../protocol/index.ts'
import { createLog, sleep, type Logger } from '../../runtime/index.ts'
import { describe } from '../relay-error.ts'
import { toItem, type Acknowledger, type Former, type Item, type Stamped } from '../item.ts'
import { createMetrics, type Metrics } from '../metrics.ts'
import type { Outages } from '../sender/back-pressure.ts'
import { createSender, type Sender } from '../sender/sender.ts'
import { createUplink } from '../sender/uplink.ts'
import { SERVER, type Targets, type Target } from '../targets/target.ts'
import type { SourceConfig } from '../config.ts'
import { withSource, takeOut } from './parked-list.ts'
import { visitParkedLists, type Elsewhere } from './overflow.ts'

/** The outcome of a notification: the queue or the address that accepted it, or why it stays parked. */
export type Answer =
  { readonly state: 'sent'; readonly queue: string } | { readonly state: 'stays'; readonly why: string }

type DeliveryOptions = {
  readonly targets: Pick<Targets, 'targetOf'>
  /** Stops sending once it aborts. Default: never. */
  readonly signal?: AbortSignal
  /**
   * How long (ms) a target may fail, or ask for another attempt, before the route is abandoned; requests in flight then have the same time again.
   * Default 5,000.
   */
  readonly giveUpMs?: number
  /**
   * Receives the metrics of the senders, which nobody reads. Default: a new set. A long-lived process must pass the same set each time, because each
   * set stays in memory.
   */
  readonly metrics?: Metrics
}

/**
 * The sender of one route. `error`: the target's current failure. `askedSince`: since when (ms) the target asks for another attempt. `problem`: why
 * nothing more is sent on this route.
 */
type Line = {
  readonly sender: Sender
  readonly target: Target
  error?: unknown
  askedSince?: number | undefined
  problem?: string
}

/** How often (ms) a line is checked for failures. */
const CHECK_MS = 100

/** An earlier run of the command may have sent the notification. */
const MAYBE_SENT: Former = { isRedelivery: true }

const ASKED = 'the functions ask for a later retry'

const NEVER = new AbortController().signal

const now = () => performance.now()

/**
 * Creates a delivery: sends through the relay's senders, for a command. A relay retries forever, but a user waits for an answer. A route whose target
 * fails for too long is abandoned: nothing more is sent on it, so nothing overtakes the notifications that were not accepted.
 */
export function createDelivery(options: DeliveryOptions) {
  const { targets, signal = NEVER, giveUpMs = 5_000, metrics = createMetrics() } = options
  const lines = new Map<string, Line>()
  // Problems are reported in the answers.
  const [log, uplink] = [createLog('silent'), createUplink()]
  const shared = { now, log, metrics, uplink, onRoom: () => undefined }

  const lineOf = (route: Route): Line => {
    const known = lines.get(route.name)
    if (known !== undefined) return known
    // Sends each entry in a pack of its own: a copy then has the same deduplication id, and a rejected entry does not affect other packs.
    const alone = { ...route, packNotifications: 1, lingerMs: 0 }
    const outages: Outages = {
      begin: (_route, _problem, { error }) => void Object.assign(line, { error }),
      end: () => void Object.assign(line, { error: undefined }),
    }
    const target = targets.targetOf(route, { log, outages })
    const line: Line = { sender: createSender({ ...shared, route: alone, target, outages }), target }
    lines.set(route.name, line)
    return line
  }

  /** Resolves when `done` resolves; otherwise when the signal has aborted or the route is abandoned, and nothing is in flight any more. */
  const waitFor = async (done: Promise<unknown>, line: Line): Promise<void> => {
    const { sender } = line
    const isDone = done.then(() => true)
    while (!signal.aborted && now() - (sender.status.failingSince ?? line.askedSince ?? now()) < giveUpMs)
      if ((await Promise.race([isDone, sleep(CHECK_MS, signal)])) === true) return
    const { error } = line
    // The advice about the relay does not apply to a command.
    const problem = (sender.status.problem ?? ASKED).replace('; the relay keeps everything and retries', '')
    await sender.stop(giveUpMs)
    if (!signal.aborted) line.problem = error === undefined ? problem : `${problem} (${describe(error)})`
  }

  type Some = readonly (readonly [number, Stamped])[]
  const deliverOn = async (route: Route, some: Some, answers: (Answer | undefined)[]) => {
    const line = lineOf(route)
    const { target } = line
    const done = Promise.withResolvers<void>()
    let left = some.length
    const answer = ({ position }: Item, what: Answer) => {
      answers[position] ??= what
      if (--left > 0) return
      line.askedSince = undefined
      done.resolve()
    }
    const acknowledger: Acknowledger = {
      settle: (item) => answer(item, { state: 'sent', queue: target.name }),
      park: async (item, _reason, detail) => {
        const why = isTooLarge(detail) ? detail : `${SERVER[target.kind]} rejected it again: ${detail}`
        answer(item, { state: 'stays', why })
      },
      keepAttempt: () => void (line.askedSince ??= now()),
    }
    if (line.problem === undefined) {
      for (const [at, stamped] of some) line.sender.push(toItem(stamped, acknowledger, at, MAYBE_SENT))
      await waitFor(done.promise, line)
    }
    if (line.problem !== undefined) for (const [at] of some) answers[at] ??= { state: 'stays', why: line.problem }
  }

  return {
    /** Why the first abandoned route was abandoned: its entries can be sent later. Undefined when no route was. */
    get problem(): string | undefined {
      return [...lines.values()].find(({ problem }) => problem !== undefined)?.problem
    },
    /** Resolves with why the target of a route cannot be used; undefined when it can, or when only sending a notification would show it. */
    async check(route: Route): Promise<string | undefined> {
      const line = lineOf(route)
      if (line.problem === undefined) await waitFor(line.sender.find(), line)
      return line.problem
    },
    /**
     * Sends notifications in their order in each lane. Resolves with an answer for each, undefined where the signal aborted before the target
     * answered.
     */
    async deliver(all: readonly Stamped[]): Promise<(Answer | undefined)[]> {
      const answers = all.map((): Answer | undefined => undefined)
      const ofRoutes = Map.groupBy(all.entries(), ([, { route }]) => route)
      await Promise.all([...ofRoutes].map(([route, some]) => deliverOn(route, some, answers)))
      return answers
    },
  }
}

export type Delivery = ReturnType<typeof createDelivery>

export type CommandTools = {
  readonly targets: Pick<Targets, 'targetOf'>
  readonly routes: Routes
  readonly dataDir: string
}

/** The outcome of a command. */
export type CommandResult = {
  readonly done: number
  /** Entries that stay parked: their target rejected them again, or they cannot be sent. */
  readonly stay: number
  /** Why the first of them stays, masked. */
  readonly why: string | undefined
  /** Ids that no entry has: handled by an earlier attempt, or taken out by somebody else. */
  readonly unknown: readonly string[]
  /** Files of other relays, which may contain these ids. */
  readonly elsewhere: readonly Elsewhere[]
  /** Why the command must be retried: a target fails, or the relay is stopping. Undefined when nothing is left to do. */
  readonly problem: string | undefined
}

/** Shared by all deliveries of the process: each set of metrics stays in memory, and nobody reads these. */
let figures: ReturnType<typeof createMetrics> | undefined

/**
 * Carries out a command as `enigma-relay parked --retry` or `--drop` does, beside the relay and on its own connection. It can be repeated at any
 * time: an entry leaves its list only after the target has accepted both the entry and its notice, and is sent with the same id until then. @throws
 * RelayError when the list cannot be read or changed, or nothing can be announced
 */
export async function runCommand(
  { action, ids }: RelayCommand,
  source: SourceConfig,
  { targets, routes, dataDir }: CommandTools,
  signal: AbortSignal,
): Promise<CommandResult> {
  figures ??= createMetrics()
  const to = { targets, metrics: figures }
  const delivery = createDelivery({ ...to, signal })
  const notices = createDelivery(to)
  const unknown = new Set(ids)
  const filter = { ids: new Set(ids) }
  const counts = { done: 0, stay: 0 }
  let why: string | undefined
  let elsewhere: readonly Elsewhere[] = []
  // Errors are thrown, and the caller logs them.
  await withSource(source, createLog('silent'), async (client) => {
    elsewhere = await visitParkedLists({ client, sourceId: source.id, dataDir, signal }, async (list) => {
      const more = { list, filter, sourceId: source.id, client, routes, delivery, notices, signal }
      for await (const taken of takeOut(action, more)) {
        unknown.delete(taken.id)
        if (taken.state === 'stays') {
          counts.stay++
          why ??= maskText(taken.why).slice(0, 300)
        } else counts.done++
      }
    })
  })
  const problem = signal.aborted ? 'the relay is stopping' : delivery.problem
  return { ...counts, why, unknown: [...unknown], elsewhere, problem }
}

/** The maximum number of ids in a log line. */
const MAX_SHOWN_IDS = 10

type CommandFields = Readonly<Record<'source' | 'action' | 'operator' | 'messageId', string>> & {
  readonly asked: number
}

/** Logs the outcome of a command that needs no retry. */
export function logOutcome(log: Logger, { asked, ...fields }: CommandFields, result: CommandResult): void {
  const { done, stay, why, unknown, elsewhere } = result
  const ids = unknown.slice(0, MAX_SHOWN_IDS)
  if (done + stay === 0)
    log.warn(
      { code: 'relay.commands.unknown_ids', ...fields, ids, ...(elsewhere.length > 0 ? { elsewhere } : {}) },
      'No parked notification matches the ids of an operator command; the relay deleted the command',
    )
  else if (stay > 0)
    log.warn(
      { code: 'relay.commands.incomplete', ...fields, asked, done, stay, error: why },
      'The relay carried out an operator command, but some of its entries stay parked',
    )
  else log.info({ code: 'relay.commands.done', ...fields, asked, done }, 'The relay carried out an operator command')
}
