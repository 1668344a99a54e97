import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, onTestFinished } from 'vitest'
import { launchBrowser } from './launch-browser.ts'

/** Launches a headless Chromium for all tests of a file. It ends after them, or with this process. Call it outside of tests. */
export async function useBrowser(): Promise<Browser> {
  const browser = await launchBrowser()
  afterAll(() => browser.close())
  return browser
}

/** Reports violations of the Content-Security-Policy as console errors. */
const REPORT_VIOLATIONS = `addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI, sample }) =>
  console.error('Content-Security-Policy: ' + violatedDirective + ' ' + blockedURI + ' ' + sample))`

/** Opens a page without the state of others, and closes it when the test ends. `errors`: uncaught exceptions and console errors of the page. */
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
