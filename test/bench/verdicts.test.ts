import { expect, test } from 'vitest'
import type { DrainFigures } from '../../bench/measure-drain.ts'
import type { Load, PubsubFigures } from '../../bench/measure-pubsub.ts'
import { inTurn, merge, noResults, type Results } from '../../bench/results.ts'
import type { Subject } from '../../bench/subject.ts'
import { formatVerdicts, needsReference, toVerdicts } from '../../bench/verdicts.ts'

const subjectOf = (kind: Subject['kind'], name: string = kind): Subject => ({
  kind,
  name,
  start: () => Promise.reject(new Error('it is not started here')),
})
const [relay, bento, floor, baseline] = (['relay', 'bento', 'floor', 'baseline'] as const).map((kind) =>
  subjectOf(kind),
) as [Subject, Subject, Subject, Subject]

const NONE = noResults()
const drained = (subject: Subject, perSecond: number, cpuUs: number, peakRssMb = 100) => ({
  subject,
  figures: { perSecond, cpuUs, peakRssMb } as DrainFigures,
})
const published = (subject: Subject, load: Partial<Load>, figures: Partial<PubsubFigures>) => ({
  subject,
  load: { type: 'status' as const, rate: 2_660, delayMs: 0, ...load },
  figures: { peakRssMb: 100, ...figures } as PubsubFigures,
})
const rowOf = (results: Results, work: RegExp) => toVerdicts(results).find((row) => work.test(row.work))

test('the drain is compared with the Bento of the same run', () => {
  const results = { ...NONE, drain: [drained(relay, 80_000, 20), drained(bento, 10_000, 150)] }
  expect(toVerdicts(results)).toMatchObject([
    { relay: '80,000', bento: '10,000', target: '≥ 80,000 (8 × Bento)', verdict: 'met' },
    { relay: '20.0', bento: '150.0', target: '≤ 18.8 (1/8 of Bento)', verdict: 'missed' },
    { work: 'peak RSS MB: drain', target: '≤ 200', verdict: 'met' },
  ])
})

test('without Bento its known figures apply, scaled by the floor: on a machine half as fast, twice the CPU and half the rate', () => {
  const results = {
    ...NONE,
    drain: [drained(relay, 80_000, 20)],
    pubsub: [published(floor, {}, { cpuUs: 180 })],
  }
  expect(rowOf(results, /CDRs per second/)).toMatchObject({ bento: '4,265', target: expect.stringContaining('34,116') })
  expect(rowOf(results, /CPU/)).toMatchObject({ bento: '278.0', target: expect.stringContaining('34.8') })
  expect(formatVerdicts(results)).toContain('CPU × 2.00, time × 1.00')
})

test('at a low rate the median is compared with the floor', () => {
  const load = { rate: 20 }
  const results = (p50Ms: number) => ({
    ...NONE,
    pubsub: [published(relay, load, { p50Ms }), published(floor, load, { p50Ms: 3.5 })],
  })
  expect(rowOf(results(4.4), /p50/)).toMatchObject({ target: '≤ 4.50 (1 above the floor)', verdict: 'met' })
  expect(rowOf(results(4.6), /p50/)).toMatchObject({ verdict: 'missed' })
})

test('a third of the CPU of Bento is the stretch goal', () => {
  const results = (cpuUs: number) => ({
    ...NONE,
    pubsub: [published(relay, {}, { cpuUs }), published(bento, {}, { cpuUs: 180 })],
  })
  const verdicts = [60, 61, 91].map((cpuUs) => rowOf(results(cpuUs), /CPU/)?.verdict)
  expect(verdicts).toEqual(['met, stretch goal too', 'met', 'missed'])
})

test('calls have a row of their own, and the peak is that of every load', () => {
  const results = {
    ...NONE,
    pubsub: [
      published(relay, { type: 'call' }, { p50Ms: 0.9, peakRssMb: 201 }),
      published(relay, { rate: 500 }, { p50Ms: 0.6 }),
    ],
  }
  expect(rowOf(results, /calls/)).toMatchObject({ relay: '0.90', target: '≤ 0.80', verdict: 'missed' })
  expect(rowOf(results, /– Pub\/Sub/)).toMatchObject({ relay: '201', verdict: 'missed' })
})

test('with two builds of the relay, the verdicts are those of the first', () => {
  const other = subjectOf('relay', 'old.mjs')
  const results = { ...NONE, drain: [drained(relay, 1, 1), drained(other, 2, 2)] }
  expect(rowOf(results, /CDRs/)).toMatchObject({ relay: '1' })
})

test('the floor is measured at its reference when known figures of Bento are to be scaled', () => {
  const drain = [drained(relay, 1, 1)]
  expect(needsReference({ ...NONE, drain })).toBe(true)
  expect(needsReference({ ...NONE, drain, pubsub: [published(floor, {}, {})] })).toBe(false)
  expect(needsReference({ ...NONE, drain: [...drain, drained(bento, 1, 1)] })).toBe(false)
  expect(needsReference({ ...NONE, pubsub: [published(relay, { rate: 119 }, {})] })).toBe(false)
  expect(needsReference(NONE)).toBe(false)
})

test('rounds are merged by their medians, losses and peaks by the worst', () => {
  expect(merge([1, 9, 5].map((n) => ({ cpuUs: n, missing: n, peakRssMb: n })))).toEqual({
    cpuUs: 5,
    missing: 9,
    peakRssMb: 9,
  })
})

test('subjects are measured in turn, the baseline in one round only', async () => {
  const order: string[] = []
  const results = await inTurn([relay, bento, baseline], 2, async ({ name }) => ({ nth: order.push(name) }))
  expect(order).toEqual(['relay', 'bento', 'baseline', 'relay', 'bento'])
  expect(results.map(({ figures }) => figures.nth)).toEqual([4, 5, 3])
})
