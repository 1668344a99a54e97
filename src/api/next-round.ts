import { Hono } from 'hono'
import * as v from 'valibot'
import { NextRound } from '../answers/index.ts'
import { DEFAULT_LIMITS, GZIP, gunzipBody, parseEvents } from '../protocol/index.ts'
import {
  driveReplay,
  leaveReplay,
  noteSent,
  settleEntry,
  type Effect,
  type ParkedMessage,
  type Reads,
  type ReplayProgress,
} from '../store/index.ts'
import type { ApiEnv } from './auth.ts'
import { describe } from './openapi.ts'
import { problem } from './problems.ts'
import { closed, json, MAX_ID, operate, refuseMalformed, requireOperator, type OperateOptions } from './operate.ts'
import { query } from './query-parameters.ts'
import { advance, readRound, roundMs, settleFailed } from './run-replay.ts'

/**
 * Replays without a queue: a relay asks for the messages of a round, sends them, and reports what became of them when it asks again. All state is
 * in the read model, and a round comes again until it is reported as done, so either side may end at any time.
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

/** `POST /replays/next` */
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

/** So long (ms) a relay need not ask again before another one takes over. */
const DRIVE_MS = 60_000

/** A relay that found nothing asks again after this time (ms): it costs one command of the read model. */
const IDLE_MS = 10_000

/** How long (ms) one request goes on to find entries. */
const LIMIT_MS = 10_000

/** Characters of the events of one answer, unless one alone is larger: a function of Lambda answers with 6 MB at most. */
const ANSWER_CHARACTERS = 1_500_000

/** Takes the report on a round, if there is one, and finds the next. @throws StoreError */
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
  // The one that has waited longest goes on, so that a long one does not hold up the others.
  const open = all
    .flatMap(({ progress }) =>
      progress !== null && !ended.some(({ id }) => id === progress.replay.id) ? progress : [],
    )
    .filter(({ isOpen, driver, drivenUntilMs }) => isOpen && (driver === relay || drivenUntilMs <= startMs))
    .toSorted((a, b) => a.atMs - b.atMs)
  for (const { replay } of open) {
    await commit(driveReplay(replay.id, relay, DRIVE_MS))
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
      if (now() - startMs > LIMIT_MS) return nothing(0)
    }
  }
  return nothing(IDLE_MS)
}

/** Takes a report from the relay that drives the replay, and returns whether it still does. */
async function takeReport(
  relay: string,
  { job, round, settled, done }: Report,
  { read, commit, now }: NextRoundOptions,
): Promise<boolean> {
  const progress = await read.replayProgress(job)
  if (progress?.driver !== relay || progress.round !== round || progress.replay.state !== 'running') return false
  const own = new Set(progress.sending)
  const known = settled.filter(({ entry }) => own.has(entry))
  // Of what a function committed, the outcome is there already, and stays; another server's acceptance is the outcome.
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
    ...(done && left.length === 0 ? [noteSent(job, round)] : [driveReplay(job, relay, DRIVE_MS)]),
  )
  return true
}

/** What is left of a round; undefined when nothing is, and the replay has gone on. */
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
    return isFirst || characters <= ANSWER_CHARACTERS ? [{ entry: id, route, lane: messageGroupId, event }] : []
  })
  if (failed.size > 0 || found.length === 0)
    await commit(...settleFailed(job, failed, now()), ...(found.length === 0 ? [noteSent(job, round)] : []))
  if (found.length === 0) return undefined
  return { round: { job, round, again: isAgain, messages: found }, wait_ms: roundMs(found.length, progress) }
}

const UNREADABLE = 'it is not a CloudEvent, and only a queue accepts other content'

/** Lanes only keep an order here. */
const targetOf = () => Promise.resolve({ lanes: DEFAULT_LIMITS.lanes })

/** The event of a message, as text; undefined when it is not a single one. */
async function readEvent({ body, contentEncoding }: ParkedMessage): Promise<string | undefined> {
  try {
    const text = contentEncoding === GZIP ? await gunzipBody(body) : body
    return parseEvents(text).length === 1 && !text.trimStart().startsWith('[') ? text : undefined
  } catch {
    return undefined
  }
}
