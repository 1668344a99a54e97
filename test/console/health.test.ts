import type { Page } from 'playwright-core'
import { agentCall, agentStatus, audit, other, relayAlive, relayGap } from 'enigma-relay/store'
import { expect, test } from 'vitest'
import { notification } from '../adapter/factories.ts'
import { listMissing } from '../../src/api/index.ts'
import { notice } from '../api/api-world.ts'
import { OPERATOR, useServedApi } from '../client/client-world.ts'
import { toOutcomeEffects } from '../../src/store/effects/park-effects.ts'
import { findInaccessible } from '../support/axe.ts'
import { useBrowser, usePage } from '../support/browser.ts'
import { useConsole } from '../support/console.ts'

const browser = await useBrowser()
const { files } = await useConsole()

const NUMBER = '27821234567'
const MINUTE_MS = 60_000

const ago = (ms: number) => new Date(Date.now() - ms).toISOString()

/** Everything that the page can show, with a phone number in every field that could hold one. */
async function useHealth() {
  const world = await useServedApi({
    console: files,
    queues: async () => [
      { queue: 'enigma-agents-call.fifo', route: 'agents-call', dead_letter: false, waiting: 1_234, in_flight: 5 },
      { queue: 'enigma-agents-call-dlq.fifo', route: 'agents-call', dead_letter: true, waiting: 3, in_flight: 0 },
      { queue: 'enigma-agents-stats.fifo', route: 'agents-stats', dead_letter: false, waiting: null, in_flight: null },
    ],
  })
  const failing = {
    route: 'agents-call',
    eventSourceARN: 'enigma-agents-call.fifo',
    key: 'x',
    notification: notification('A', 1),
    reason: `422: ${NUMBER} is blocked`,
    status: 422,
    attempts: 1,
    messageId: 'm1',
  }
  const ofRelay = { type: 'relay', transport: 'relay' } as const
  const relay = (name: string, readyMs: number) =>
    relayAlive(
      notice(
        { relay: name, sources: ['main'], lists: ['enigma:notifications:campaigns'], started: ago(7_200_000) },
        { ...ofRelay, subType: 'alive', timeMs: Date.now() - readyMs },
      ),
    )
  const gap = { source: 'main', relay: 'relay-1', cause: 'reconnect', patterns: ['enigma:*'] }
  await world.commit(
    ...(await toOutcomeEffects({ parked: [failing], failed: [], replayed: [] }, Date.now())),
    relay('relay-1', 20_000),
    relay('relay-2', 10 * MINUTE_MS),
    relayGap(notice({ ...gap, from: ago(90_000), to: ago(85_000) }, { ...ofRelay, subType: 'gap' })),
    other(notice({}, { type: 'unknown', subType: 'unknown', data: NUMBER, reason: 'not_json' })),
    audit({ id: 'a1', at: ago(0), operator: 'jane', action: 'replay', what: `{"reference":"${NUMBER}"}`, count: 4 }),
  )
  const call = { call_ref: 'c-17', campaign_ref: '7', number: NUMBER, contact_ref: NUMBER }
  await world.commit(
    agentCall(notice(call, { subType: 'call', reference: '1002' })),
    agentStatus(notice({ status: 'wrapup', campaign_ref: '7' }, { reference: '1002' })),
  )
  await listMissing(world.store, { waitMs: 0 })
  const { page, errors } = await usePage(browser, { permissions: ['clipboard-read', 'clipboard-write'] })
  await page.goto(`${world.url}/console/#/health`)
  await page.getByLabel('API token').fill(OPERATOR)
  await page.getByRole('button', { name: 'Log in' }).click()
  await page.getByRole('heading', { name: 'Relays' }).waitFor()
  return { ...world, page, errors }
}

const rowOf = (page: Page, section: string, text: string) =>
  page.getByRole('region', { name: section, exact: true }).getByRole('row').filter({ hasText: text })

test('the page shows relays, queues, gaps, calls without a CDR, notifications without a route and the audit log, all masked', async () => {
  const { page, errors } = await useHealth()
  expect(await rowOf(page, 'Relays', 'relay-1').innerText()).toMatch(/✓ ready \d+s ago\s+main\s+2h/)
  expect(await rowOf(page, 'Relays', 'relay-2').innerText()).toContain('✕ silent 10m')
  await expect
    .poll(() => rowOf(page, 'Queues', 'agents-call').innerText())
    .toMatch(/agents-call\s+1,234\s+5\s+! 3\s+1\s/)
  expect(await rowOf(page, 'Queues', 'agents-stats').innerText()).toContain('no queue')
  expect(await rowOf(page, 'Gaps', 'reconnect').innerText()).toMatch(/5s\s+reconnect\s+main\s+relay-1/)
  expect(await rowOf(page, 'Missing CDRs', 'c-17').innerText()).toMatch(/c-17\s+1002\s+7\s+main/)
  await rowOf(page, 'Notifications without a route', 'not_json').waitFor()
  expect(await rowOf(page, 'Audit log', 'jane').innerText()).toMatch(/jane\s+replay\s+4/)
  expect(await page.locator('main').innerText()).not.toContain(NUMBER)
  expect(errors).toEqual([])
})

test('a diagnosis is copied, and contains no phone number', async () => {
  const { page } = await useHealth()
  await rowOf(page, 'Audit log', 'jane').waitFor()
  await rowOf(page, 'Queues', 'agents-call').waitFor()
  await page.getByRole('button', { name: 'Copy a diagnosis' }).click()
  await page.getByText('Copied.').waitFor()
  const text = String(await page.evaluate('navigator.clipboard.readText()'))
  for (const part of [
    '- relay-1 (main): ready',
    '1234 waiting',
    'agents-stats.fifo: missing',
    '422: # is blocked',
    'jane',
  ])
    expect(text).toContain(part)
  expect(text).not.toContain(NUMBER)
  expect(await page.getByLabel('Diagnosis', { exact: true }).inputValue()).toBe(text.replaceAll('\r\n', '\n'))
})

test('without clipboard access, the text of the diagnosis is selected', async () => {
  const { page } = await useHealth()
  await page.evaluate(`Object.defineProperty(navigator, 'clipboard', { value: undefined })`)
  await page.getByRole('button', { name: 'Copy a diagnosis' }).click()
  await page.getByText('The text is selected').waitFor()
  expect(await page.evaluate('document.activeElement.value.slice(0, 23)')).toBe('enigma-relay diagnosis,')
})

test.each(['light', 'dark'] as const)(
  'axe reports nothing on the page and in the diagnosis: %s',
  async (colorScheme) => {
    const { page } = await useHealth()
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    await rowOf(page, 'Audit log', 'jane').waitFor()
    await rowOf(page, 'Queues', 'agents-call').waitFor()
    expect(await findInaccessible(page)).toEqual([])
    await page.getByRole('button', { name: 'Copy a diagnosis' }).click()
    await page.getByText('Copied.').waitFor()
    expect(await findInaccessible(page)).toEqual([])
  },
)
