import { Hono } from 'hono'
import * as v from 'valibot'
import { NextRound } from '../answers/index.ts'
import { DEFAULT_LIMITS, gunzipBody, GZIP, parseEvents } from '../protocol/index.ts'
import {
  driveReplay,
  type Effect,
  leaveReplay,
  noteSent,
  type ParkedMessage,
  type Reads,
  type ReplayProgress,
  settleEntry,
} from '../store/index.ts'
import type { ApiEnv } from './auth.ts'
import { describe } from './openapi.ts'
import { closed, json, MAX_ID, operate, type OperateOptions, refuseMalformed, requireOperator } from './operate.ts'
import { problem } from './problems.ts'
import { query } from './query-parameters.ts'
import { advance, readRound, roundMs, settleFailed } from './run-replay.ts'

/*
 * Drives replays without a queue. A relay asks for the messages of a round, sends them, and reports their outcomes when it asks again. All
 * state is in the read model, and a round is returned until it is reported as done, so either side may stop at any time.
 */

const word = (most: number, description: string) =>
  v.pipe(
    v.string('must be text'),
    v.nonEmpty('must not be empty'),
    v.maxLength(most, 'is too long'),
    v.description(description),
  )

const Report = v.pipe(
  closed({
    job: word(MAX_ID, 'The id of the replay.'),
    round: word(20, 'The round, as the API returned it.'),
    settled: v.pipe(
      v.array(
        closed({
          entry: word(200, 'The id of the entry.'),
          reason: v.optional(
            word(500, 'Why the target will never accept the entry. Absent if the target accepted it.'),
          ),
        }),
        'must be a list',
      ),
      v.maxLength(1_000, 'must have at most 1000 entries'),
      v.description('Entries that need not be sent again.'),
    ),
    done: v.pipe(
      v.boolean('must be true or false'),
      v.description('true: the relay has sent the whole round. false: the relay is still sending it.'),
    ),
  }),
  v.description('The report on a round that this relay received.'),
)
type Report = v.InferOutput<typeof Report>

const Body = closed({
  relay: word(128, 'The id of the relay. One relay at a time drives a replay.'),
  round: v.optional(Report),
})

/** Serves `POST /replays/next`. */
export function nextRounds(read: Reads, options: OperateOptions | undefined, now: () => number): Hono<ApiEnv> {
  return new Hono<ApiEnv>().post(
    '/',
    describe({
      summary: 'Get the next messages of a replay, as a relay',
      description:
        'Without SQS, relays drive replays: a relay asks for a round of messages, sends them to the targets of their routes with the headers `ce-replay` and ' +
        '`ce-parked`, and reports their outcomes when it asks again. While it is sending, it reports at least once a minute (`"done": false`). The API returns a ' +
        'round again until it is reported as done. Needs a token with the role `operate`.',
      tag: 'replays',
      answer: NextRound,
      isPost: true,
    }),
    requireOperator,
    refuseMalformed,
    json(Body),
    query(),
    async (c) => {
      const { commit, sendStep } = operate(options, now)
      if (sendStep !== undefined)
        throw problem(
          'bad-request',
          'This API sends replays through SQS, so no relay needs to ask for them: remove ENIGMA_API_URL from the relay.',
        )
      const { relay, round } = c.req.valid('json')
      return c.json(await nextRound(relay, round, { read, commit, now }))
    },
  )
}

type NextRoundOptions = {
  readonly read: Reads
  readonly commit: (...effects: readonly Effect[]) => Promise<void>
  readonly now: () => number
}

/** If a relay does not ask again within this time (ms), another relay may take over. */
const MAX_DRIVE_MS = 60_000

/** How long (ms) a relay waits after it found nothing. Each request costs one command of the read model. */
const IDLE_MS = 10_000

/** How long (ms) one request searches for entries. */
const MAX_SEARCH_MS = 10_000

/** Maximum characters of the events in one answer, unless a single event is larger. A function on Lambda can return 6 MB. */
const MAX_ANSWER_CHARACTERS = 1_500_000

/** Processes the report on a round, if there is one, and finds the next round. @throws StoreError */
async function nextRound(
  relay: string,
  report: Report | undefined,
  { read, commit, now }: NextRoundOptions,
): Promise<NextRound> {
  const startMs = now()
  const nothing = (waitMs: number, goesOn = false): NextRound => ({ go_on: goesOn, round: null, wait_ms: waitMs })
  if (report !== undefined) {
    const isOwn = await takeReport(relay, report, { read, commit, now })
    if (!report.done) return nothing(0, isOwn)
  }
  const all = await read.replaysOfRelays()
  const ended = all.filter(({ progress }) => progress?.replay.state !== 'running')
  if (ended.length > 0) await commit(...ended.map(({ id }) => leaveReplay(id)))
  // The replay that has waited longest continues, so that a long replay does not delay the others.
  const open = all
    .flatMap(({ progress }) =>
      progress !== null && !ended.some(({ id }) => id === progress.replay.id) ? progress : [],
    )
    .filter(({ isOpen, driver, drivenUntilMs }) => isOpen && (driver === relay || drivenUntilMs <= startMs))
    .toSorted((a, b) => a.atMs - b.atMs)
  for (const { replay } of open) {
    await commit(driveReplay(replay.id, relay, MAX_DRIVE_MS))
    for (let isAgain = true; ; isAgain = false) {
      const progress = await read.replayProgress(replay.id)
      if (progress?.replay.state !== 'running' || progress.driver !== relay) break
      if (progress.sending.length > 0) {
        const found = await openRound(progress, isAgain, { read, commit, now })
        if (found !== undefined) return { go_on: false, ...found }
        continue
      }
      const effect = await advance(progress, read)
      if (effect === undefined) break
      await commit(effect)
      if (now() - startMs > MAX_SEARCH_MS) return nothing(0)
    }
  }
  return nothing(IDLE_MS)
}

/** Processes the report of the relay that drives the replay. Returns whether that relay still drives it. */
async function takeReport(
  relay: string,
  { job, round, settled, done }: Report,
  { read, commit, now }: NextRoundOptions,
): Promise<boolean> {
  const progress = await read.replayProgress(job)
  if (progress?.driver !== relay || progress.round !== round || progress.replay.state !== 'running') return false
  const own = new Set(progress.sending)
  const known = settled.filter(({ entry }) => own.has(entry))
  // If a function committed the outcome, it is already recorded, and stays. If another server accepted the entry, that is the outcome.
  const effects = known.map(({ entry, reason = '' }) =>
    settleEntry({ job, entry, outcome: reason === '' ? 'handled' : 'failed', reason }, now()),
  )
  const named = new Set(known.map(({ entry }) => entry))
  const left = done
    ? await read.openEntries(
        job,
        progress.sending.filter((entry) => !named.has(entry)),
      )
    : []
  await commit(
    ...effects,
    ...(done && left.length === 0 ? [noteSent(job, round)] : [driveReplay(job, relay, MAX_DRIVE_MS)]),
  )
  return true
}

/** Returns the rest of a round, or undefined if nothing is left and the replay has moved on. */
async function openRound(
  progress: ReplayProgress,
  isAgain: boolean,
  { read, commit, now }: NextRoundOptions,
): Promise<Pick<NextRound, 'round' | 'wait_ms'> | undefined> {
  const { round, sending } = progress
  const job = progress.replay.id
  const entries = await read.openEntries(job, sending)
  const { messages, gone } = await readRound(progress, entries, { read, targetOf })
  const texts = await Promise.all(messages.map(readEvent))
  const failed = new Map([
    ...gone,
    ...messages.flatMap(({ id }, at) => (texts[at] === undefined ? [[id, UNREADABLE] as const] : [])),
  ])
  let characters = 0
  const found = messages.flatMap(({ id, route, messageGroupId }, at) => {
    const event = texts[at]
    if (event === undefined) return []
    const isFirst = characters === 0
    characters += event.length
    return isFirst || characters <= MAX_ANSWER_CHARACTERS ? [{ entry: id, route, lane: messageGroupId, event }] : []
  })
  if (failed.size > 0 || found.length === 0)
    await commit(...settleFailed(job, failed, now()), ...(found.length === 0 ? [noteSent(job, round)] : []))
  if (found.length === 0) return undefined
  return { round: { job, round, again: isAgain, messages: found }, wait_ms: roundMs(found.length, progress) }
}

const UNREADABLE = 'it is not a CloudEvent, and only a queue accepts other content'

/** Without queues, lanes only determine the order of messages. */
const targetOf = () => Promise.resolve({ lanes: DEFAULT_LIMITS.lanes })

/** Returns the event of a message as text, or undefined if the message is not a single event. */
async function readEvent({ body, contentEncoding }: ParkedMessage): Promise<string | undefined> {
  try {
    const text = contentEncoding === GZIP ? await gunzipBody(body) : body
    return parseEvents(text).length === 1 && !text.trimStart().startsWith('[') ? text : undefined
  } catch {
    return undefined
  }
}
