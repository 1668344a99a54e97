import { expect, test } from 'vitest'
import { useBrowser } from '../support/browser.ts'
import { button, cells, goTo, logIn, replay, rows, seeReplay, waitForBar } from './operator.ts'
import { useStreetProcess, type Packet } from './street-process.ts'

const browser = await useBrowser()

const status = (ref: string, own: object = { status: 'busy' }): readonly [string, Packet] => [
  `agents:${ref}`,
  { type: 'status', payload: { ref, ...own } },
]
const statuses = (count: number, from = 1_000) => Array.from({ length: count }, (_, n) => status(String(from + n)))

test('3,000 parked messages of three routes are listed within two seconds, with the right counts', async () => {
  const street = await useStreetProcess({ fail: ['agents-status=422', 'agents-stats=409', 'campaigns-cdr=400'] })
  await street.publish(statuses(1_500))
  await street.publish(
    Array.from({ length: 500 }, (_, n) => [`agents:${n}`, { type: 'stats', payload: { calls: n } }] as const),
  )
  await street.push(
    'campaigns',
    Array.from({ length: 1_000 }, (_, n) => ({ type: 'cdr', payload: { ref: '12', call_ref: `c${n}`, dialed_at: 1 } })),
  )
  await street.waitForParked(3_000)
  const { page, errors } = await logIn(browser, street.url, 'jane', { path: '#/wall' })
  const startMs = performance.now()
  await goTo(page, 'Parked')
  await rows(page, 'Causes').nth(2).waitFor()
  const causesMs = performance.now() - startMs
  const counted = (await cells(page, 'Causes')).map(([count, , route, code]) => [count, route, code])
  expect(counted.toSorted((a, b) => String(a[1]).localeCompare(String(b[1])))).toEqual([
    ['500', 'agents-stats', '409'],
    ['1,500', 'agents-status', '422'],
    ['1,000', 'campaigns-cdr', '400'],
  ])
  const listMs = performance.now()
  await button(page, /^Messages/).click()
  await rows(page, 'Parked messages').nth(20).waitFor()
  const messagesMs = performance.now() - listMs
  await button(page, 'Select all 3,000 that match').waitFor()
  console.log(`3,000 parked messages: causes after ${causesMs.toFixed()} ms, messages after ${messagesMs.toFixed()} ms`)
  // The goal is two seconds. A busy machine may take three times as long.
  expect(Math.max(causesMs, messagesMs)).toBeLessThan(2_000 * 3)
  expect(errors).toEqual([])
})

test('five selected messages of 300 are handled, and no others; the other 295 stay parked, in their order', async () => {
  const street = await useStreetProcess({ fail: ['agents-status=422'] })
  await street.publish(statuses(300))
  await street.waitForParked(300)
  await street.restart()
  const before = await street.parkedSubjects()
  const { page, errors } = await logIn(browser, street.url, 'jane', { path: '#/parked?view=messages' })
  const places = [2, 5, 6, 7, 20]
  for (const at of places) await rows(page, 'Parked messages').nth(at).getByRole('checkbox').click()
  await page.getByText('5 selected').waitFor()
  await replay(page, 'Replay 5 messages?')
  await waitForBar(page, 'The replay has started')
  expect((await seeReplay(page)).counts).toMatchObject({ handled: '5', 'failed again': '0', skipped: '0' })
  const selected = places.map((at) => before[at] ?? '')
  const agents = await street.list('/agents')
  expect(agents.map(({ ref }) => String(ref)).toSorted()).toEqual(selected.toSorted())
  expect(await street.parkedSubjects()).toEqual(before.filter((ref) => !selected.includes(ref)))
  expect(errors).toEqual([])
})

test('a replay of all matching messages never sends those that are parked after its dialog opened', async () => {
  const street = await useStreetProcess({ fail: ['agents-status=422'] })
  await street.publish(statuses(40))
  await street.waitForParked(40)
  await street.restart()
  const { page, errors } = await logIn(browser, street.url, 'jane', {
    path: '#/parked?view=messages&route=agents-status',
  })
  await button(page, 'Select all 40 that match').click()
  await button(page, 'Replay').click()
  const question = page.getByRole('dialog')
  await question.getByRole('heading', { name: 'Replay 40 messages?' }).waitFor()
  // Packets without a status, which the function refuses: some while the dialog is open, others while messages are sent.
  const late = (from: number) => Array.from({ length: 5 }, (_, n) => status(`late${from + n}`, {}))
  await street.publish(late(0))
  await street.waitForParked(45)
  await question.getByLabel('Messages a second').fill('10')
  await question.getByRole('button', { name: 'Replay', exact: true }).click()
  await waitForBar(page, 'The replay has started')
  await street.publish(late(5))
  expect((await seeReplay(page)).counts).toMatchObject({ handled: '40', 'failed again': '0', skipped: '0' })
  await street.waitForParked(10)
  const left = await street.list('/parked')
  expect(left.map(({ subject }) => String(subject)).toSorted()).toEqual(
    Array.from({ length: 10 }, (_, n) => `late${n}`).toSorted(),
  )
  expect(left.map(({ replays, replay: job }) => [replays, job])).toEqual(Array.from({ length: 10 }, () => [0, null]))
  expect(await street.list('/agents')).toHaveLength(40)
  expect(errors).toEqual([])
})
