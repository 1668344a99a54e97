import { expect, test } from 'vitest'
import { useBrowser } from '../support/browser.ts'
import { waitFor } from '../support/relay.ts'
import { button, cells, goTo, logIn, replay, rows, seeReplay, waitForBar } from './operator.ts'
import { useStreetProcess, type Packet } from './street-process.ts'

const browser = await useBrowser()

const cdr = (n: number): Packet => ({
  type: 'cdr',
  payload: { ref: '12', call_ref: `c${n}`, dialed_at: Math.floor(Date.now() / 1_000), end_reason: 'hungup' },
})

test('a replay before the fix fails again with the new reason, and a replay right after the fix clears the page', async () => {
  const street = await useStreetProcess({ fail: ['campaigns-cdr=422'] })
  await street.push('campaigns', [cdr(1), cdr(2), cdr(3)])
  await street.waitForParked(3)
  // The function now fails with another status.
  await street.restart(['campaigns-cdr=409'])
  const { page } = await logIn(browser, street.url, 'jane', { path: '#/parked?view=messages' })
  await button(page, 'Select all 3 that match').click()
  await replay(page, 'Replay 3 messages?')
  await waitForBar(page, 'The replay has started')
  const first = await seeReplay(page)
  expect(first.counts).toMatchObject({ handled: '0', 'failed again': '3' })
  for (const { outcome, reason } of first.messages)
    expect([outcome, reason]).toEqual(['failed again', expect.stringContaining('=409)') as string])
  await goTo(page, 'Parked')
  await expect
    .poll(async () => (await cells(page, 'Causes')).map(([count, cause, , code]) => [count, cause, code]), {
      timeout: 10_000,
    })
    .toEqual([['3', '409: fails on purpose (--fail campaigns-cdr=#)', '409']])
  const [entry] = await street.list('/parked')
  const detail = (await street.get(`/parked/${String(entry?.['id'])}`)) as { failed_attempts: { status: number }[] }
  expect(detail.failed_attempts.map(({ status }) => status)).toEqual([422, 409])

  await street.restart()
  await page.reload()
  await button(page, /^Messages/).click()
  await button(page, 'Select all 3 that match').click()
  await button(page, 'Replay').first().click()
  await page.getByText('3 were replayed before and failed again.').waitFor()
  await page.getByRole('dialog').getByRole('button', { name: 'Replay', exact: true }).click()
  await waitForBar(page, 'The replay has started')
  expect((await seeReplay(page)).counts).toMatchObject({ handled: '3', 'failed again': '0' })
  await goTo(page, 'Parked')
  await page.getByRole('heading', { name: 'Nothing is parked' }).waitFor()
  expect((await street.list('/cdrs')).map((one) => String(one['call_ref'])).toSorted()).toEqual(['c1', 'c2', 'c3'])
})

test('when two operators replay the same messages, one replay sends each message and the other skips it', async () => {
  const street = await useStreetProcess({ fail: ['campaigns-cdr=422'] })
  await street.push(
    'campaigns',
    Array.from({ length: 30 }, (_, n) => cdr(n)),
  )
  await street.waitForParked(30)
  await street.restart()
  const before = countCdrs(street.output())
  const [jane, mark] = await Promise.all(
    (['jane', 'mark'] as const).map((who) => logIn(browser, street.url, who, { path: '#/parked?view=messages' })),
  )
  const pages = [jane?.page, mark?.page].filter((page) => page !== undefined)
  for (const page of pages) {
    await rows(page, 'Parked messages').nth(20).waitFor()
    await page.getByRole('checkbox', { name: 'Select all rows that were read' }).click()
    await page.getByText('30 selected').waitFor()
    await button(page, 'Replay').first().click()
    await page.getByRole('heading', { name: 'Replay 30 messages?' }).waitFor()
  }
  for (const page of pages) await page.getByRole('dialog').getByRole('button', { name: 'Replay', exact: true }).click()
  const seen = await Promise.all(
    pages.map(async (page) => {
      await waitForBar(page, 'The replay has started')
      return seeReplay(page)
    }),
  )
  const sum = (name: string) => seen.reduce((total, { counts }) => total + Number(counts[name]), 0)
  expect([sum('handled'), sum('skipped'), sum('failed again')]).toEqual([30, 30, 0])
  const jobs = (await street.list('/replays')) as unknown as readonly { operator: string }[]
  expect(jobs.map(({ operator }) => operator).toSorted()).toEqual(['jane', 'mark'])
  expect(countCdrs(street.output()) - before).toBe(30)
  expect(await street.list('/cdrs')).toHaveLength(30)
  expect(await street.list('/parked')).toEqual([])
  // A later visit shows at once that nothing is parked.
  await pages[0]?.getByRole('navigation').getByRole('link', { name: 'Parked' }).click()
  await pages[0]?.getByRole('heading', { name: 'Nothing is parked' }).waitFor()
})

/** Counts the CDRs that a function has finished, from the output of `--verbose`. */
const countCdrs = (output: string): number => output.match(/campaigns\/cdr .* done after/g)?.length ?? 0

test('the plan reports a stale call, and its replay records the call without showing it', async () => {
  const street = await useStreetProcess({ fail: ['agents-call=422'] })
  const call = (agent: string): readonly [string, Packet] => [
    `agent:${agent}`,
    { type: 'call', payload: { ref: agent, call_ref: `of ${agent}`, agent, number: '27821234567' } },
  ]
  await street.publish([
    ['agents:1001', { type: 'status', payload: { ref: '1001', status: 'available' } }],
    call('1001'),
  ])
  await street.waitForParked(1)
  await street.restart()
  // A call is too old for a screen after 30 seconds.
  const [entry] = await street.list('/parked')
  const staleMs = Date.parse(String((await street.get(`/parked/${String(entry?.['id'])}`))['stale_at']))
  await waitFor(() => Date.now() > staleMs + 1_000, 'the call to be too old', 60_000)
  await street.publish([
    ['agents:1002', { type: 'status', payload: { ref: '1002', status: 'available' } }],
    call('1002'),
  ])
  await waitFor(async () => (await street.get('/agents/1002'))['call'] !== null, 'a call on time')

  const { page } = await logIn(browser, street.url, 'jane', { path: '#/parked?view=messages' })
  await rows(page, 'Parked messages').first().getByRole('checkbox').click()
  await button(page, 'Replay').first().click()
  await page.getByText('1 is a call that is too old and will only be recorded.').waitFor()
  await page.getByRole('dialog').getByRole('button', { name: 'Replay', exact: true }).click()
  await waitForBar(page, 'The replay has started')
  expect((await seeReplay(page)).counts).toMatchObject({ handled: '1', 'failed again': '0' })
  expect((await street.get('/agents/1001'))['call']).toBeNull()
  await goTo(page, 'Wall')
  await page.locator('.tile[data-ref="1002"] .call').waitFor()
  expect(await page.locator('.tile[data-ref="1001"] .call').count()).toBe(0)
  await page.locator('.tile[data-ref="1001"]').click()
  await page.getByText('No call.').waitFor()
  await page.getByText('stale: too late for a screen pop').waitFor()
})
