import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, onTestFinished } from 'vitest'
import { launchBrowser } from './launch-browser.ts'

/** A Chromium without a window, for all tests of a file. It ends with them, and with this process. To be called outside of tests. */
export async function useBrowser(): Promise<Browser> {
  const browser = await launchBrowser()
  afterAll(() => browser.close())
  return browser
}

/** Tells what a strict policy has kept from the page. */
const REPORT_VIOLATIONS = `addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI, sample }) =>
  console.error('Content-Security-Policy: ' + violatedDirective + ' ' + blockedURI + ' ' + sample))`

/** A page with nothing kept of others, closed when the test ends; `errors`: what the page has thrown, or written to the console as an error. */
export async function usePage(
  browser: Browser,
  options: BrowserContextOptions = {},
): Promise<{ readonly page: Page; readonly errors: readonly string[] }> {
  const context = await browser.newContext(options)
  onTestFinished(() => context.close())
  const page = await context.newPage()
  const errors: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text())
  })
  page.on('pageerror', (error) => void errors.push(String(error)))
  await page.addInitScript(REPORT_VIOLATIONS)
  return { page, errors }
}
