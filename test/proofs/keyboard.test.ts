import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import { findInaccessible } from '../support/axe.ts'
import { useBrowser, usePage } from '../support/browser.ts'
import { button, logIn, rows, waitForBar } from './operator.ts'
import { TOKENS, useStreetProcess } from './street-process.ts'

const browser = await useBrowser()

test('with the keyboard alone, an operator logs in, selects messages by cause, replays them and sees the outcome', async () => {
  const street = await useStreetProcess({ fail: ['agents-status=422'] })
  await street.publish(
    Array.from({ length: 6 }, (_, n) => [
      `agents:${n}`,
      { type: 'status', payload: { ref: String(n), status: 'busy' } },
    ]),
  )
  await street.waitForParked(6)
  await street.restart()
  const { page, errors } = await usePage(browser)
  const { keyboard } = page
  const press = async (...keys: readonly string[]) => {
    for (const key of keys) await keyboard.press(key)
  }
  await page.goto(`${street.url}/console/`)
  await button(page, 'Log in').waitFor()
  await keyboard.type(TOKENS.jane)
  await press('Enter')
  await page.getByRole('navigation', { name: 'Pages' }).waitFor()
  await press('?')
  await page.getByRole('heading', { name: 'Keyboard' }).waitFor()
  await press('Escape', '4')
  await rows(page, 'Causes').first().waitFor()
  await press('j', 'Enter')
  await rows(page, 'Parked messages').nth(5).waitFor()
  await press('j', 'Enter')
  await page.getByRole('heading', { name: 'Parked message', exact: true }).waitFor()
  await press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  // The first row, and three adjacent rows further down.
  await press('x', 'j', 'j', 'x', 'J', 'J')
  await page.getByText('4 selected').waitFor()
  await press('r')
  await page.getByRole('heading', { name: 'Replay 4 messages?' }).waitFor()
  await expect.poll(() => page.evaluate('document.activeElement.textContent')).toBe('Replay')
  await press('Enter')
  await waitForBar(page, 'The replay has started')
  await press('5')
  await rows(page, 'Replays').first().waitFor()
  await press('j', 'Enter')
  await page.getByText('done', { exact: true }).waitFor()
  await expect.poll(() => rows(page, 'Messages of the replay').count()).toBe(4)
  // The key / moves the focus to a filter.
  await press('4', '/')
  expect(await page.evaluate('document.activeElement.dataset.filter')).toBe('from')
  await press('Escape')
  expect(await street.list('/parked')).toHaveLength(2)
  expect(await street.list('/agents')).toHaveLength(4)
  expect(errors).toEqual([])
})

/** A view to check: its page, the element to wait for, and the action that opens it. */
type View = readonly [name: string, hash: string, ready: string, act?: (page: Page) => Promise<unknown>]

const openFirst = (page: Page) => page.locator('tr[data-id]').first().click()

const VIEWS: readonly View[] = [
  ['wall', '#/wall', '.tile'],
  ['agent', '#/wall', 'dialog table', (page) => page.locator('.tile').first().click()],
  ['thresholds', '#/wall', 'dialog table', (page) => button(page, 'Thresholds').click()],
  ['CDRs', '#/cdrs', 'tr[data-id]'],
  ['CDR', '#/cdrs', 'dialog pre', openFirst],
  ['export', '#/cdrs', 'dialog form, dialog button', (page) => button(page, /^Export/).click()],
  ['replay of CDRs', '#/cdrs?from=2026-01-01T00:00', 'dialog form', (page) => button(page, 'Replay …').click()],
  ['stream', '#/stream', 'tr[data-id]'],
  ['causes', '#/parked?view=causes', 'tr[data-id]'],
  ['queues', '#/parked?view=queues', 'tr[data-id]'],
  ['messages', '#/parked?view=messages', 'tr[data-id]'],
  ['message', '#/parked?view=messages', 'dialog pre', openFirst],
  [
    'replay question',
    '#/parked?view=messages',
    'dialog form',
    async (page) => {
      await button(page, /^Select all/).click()
      await button(page, 'Replay').first().click()
    },
  ],
  ['replays', '#/replays', 'tr[data-id]'],
  ['replay', '#/replays', 'dl.counts', openFirst],
  ['bin', '#/bin', 'tr[data-id]'],
  ['health', '#/health', 'section[aria-label="Audit log"] td'],
  ['diagnosis', '#/health', 'dialog textarea', (page) => button(page, 'Copy a diagnosis').click()],
  ['keys', '#/health', 'dialog kbd', (page) => button(page, 'Keyboard').click()],
]

test('axe reports nothing on any page or dialog, light and dark, and at 200 % zoom nothing is cut off', async () => {
  const street = await useStreetProcess({
    args: ['--agents', '25', '--speed', '10'],
    fail: ['campaigns-cdr=422:30%', 'agents-stats=409:30%'],
  })
  const { page, errors } = await logIn(browser, street.url, 'jane', { path: '#/parked?view=messages' })
  await rows(page, 'Parked messages').nth(3).waitFor({ timeout: 60_000 })
  const some = (await street.list('/parked')).slice(0, 4).map(({ id }) => id)
  expect((await street.ask('POST', '/parked/delete', { ids: some.slice(0, 1) })).status).toBe(200)
  expect((await street.ask('POST', '/replays', { ids: some.slice(1) })).status).toBe(202)

  const found: string[] = []
  const check = async (name: string) => {
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
      for (const problem of await findInaccessible(page)) found.push(`${name}, ${colorScheme}: ${problem.join(' ')}`)
    }
  }
  const cut: string[] = []
  for (const [name, hash, ready, act] of VIEWS) {
    await page.goto(`${street.url}/console/#/wall`)
    await page.goto(`${street.url}/console/${hash}`)
    if (act !== undefined) {
      await page.locator('.tile, tr[data-id], section[aria-label="Audit log"] td').first().waitFor()
      await act(page)
    }
    await page.locator(ready).first().waitFor()
    await check(name)
    // Half the width is what 200 % leaves of 1,280 px.
    await page.setViewportSize({ width: 640, height: 400 })
    await page.locator(ready).first().waitFor()
    if ((await page.evaluate(WIDER)) === true) cut.push(name)
    await page.setViewportSize({ width: 1280, height: 800 })
    if ((await page.getByRole('dialog').count()) > 0) await page.keyboard.press('Escape')
  }
  await button(page, 'Log out').click()
  await page.getByLabel('API token').waitFor()
  await check('login')
  expect(found).toEqual([])
  expect(cut).toEqual([])
  expect(errors).toEqual([])
})

/** Whether the content is wider than the page or a dialog. Lists and contents may scroll in their own frames. */
const WIDER = `[document.documentElement, ...document.querySelectorAll('dialog, dialog > .dialog')]
  .some(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth + 1)`
