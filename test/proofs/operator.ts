import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { expect } from 'vitest'
import { usePage } from '../support/browser.ts'
import { TOKENS, type Operator } from './street-process.ts'

/* An operator who uses the console. */

export const rows = (page: Page, list: string) => page.getByRole('table', { name: list }).locator('tr[data-id]')
export const button = (page: Page, name: string | RegExp) => page.getByRole('button', { name })

/** Goes to a page by its link at the top. */
export const goTo = (page: Page, name: string) => page.getByRole('navigation').getByRole('link', { name }).click()

/** Returns the text of the rows on the screen, cell by cell. */
export const cells = (page: Page, list: string) =>
  rows(page, list).evaluateAll((all) => all.map((row) => [...row.children].map((cell) => cell.textContent.trim())))

/** Opens a separate browser context and logs in. */
export async function logIn(
  browser: Browser,
  url: string,
  who: Operator = 'jane',
  { path = '#/parked', ...options }: BrowserContextOptions & { readonly path?: string } = {},
) {
  const { page, errors } = await usePage(browser, { viewport: { width: 1280, height: 800 }, ...options })
  await page.goto(`${url}/console/${path}`)
  await page.getByLabel('API token').fill(TOKENS[who])
  await button(page, 'Log in').click()
  await page.getByRole('navigation', { name: 'Pages' }).waitFor()
  return { page, errors }
}

/** Waits for a sentence in the bar at the bottom of the page. An action with Undo starts after five seconds. */
export async function waitForBar(page: Page, text: string | RegExp): Promise<void> {
  await expect.poll(() => page.locator('.bar').innerText(), { timeout: 30_000 }).toMatch(text)
}

/** Presses Replay and confirms the dialog. */
export async function replay(page: Page, question: string | RegExp): Promise<void> {
  await button(page, 'Replay').first().click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('heading', { name: question }).waitFor()
  await dialog.getByRole('button', { name: 'Replay', exact: true }).click()
}

/** Opens the latest replay, waits for its end, and returns its figures and the outcome of each message on the screen. */
export async function seeReplay(page: Page) {
  await page.getByRole('link', { name: 'Show it' }).click()
  await page.getByText(/^(done|stopped)$/).waitFor({ timeout: 60_000 })
  const figures = await page
    .locator('dl.counts > div')
    .evaluateAll((all) => all.map((one) => [...one.children].map(({ textContent }) => textContent)))
  const messages = await cells(page, 'Messages of the replay')
  return {
    id: new URLSearchParams(new URL(page.url()).hash.split('?')[1]).get('id') ?? '',
    counts: Object.fromEntries(figures) as Readonly<Record<string, string>>,
    messages: messages.map(([id = '', outcome = '', reason = '']) => ({ id, outcome, reason })),
  }
}
