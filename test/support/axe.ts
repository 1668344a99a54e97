import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import type { Page } from 'playwright-core'

type Answer = { readonly violations: readonly { readonly id: string; readonly nodes: readonly { html: string }[] }[] }

let source: Promise<string> | undefined

/** Returns the accessibility violations that axe finds on a page: each rule, with the elements that break it. */
export async function findInaccessible(page: Page): Promise<(readonly [rule: string, elements: readonly string[]])[]> {
  source ??= readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
  // Playwright evaluates the script as the developer tools do, so the page's Content-Security-Policy does not apply.
  await page.evaluate(await source)
  const { violations } = (await page.evaluate('axe.run()')) as Answer
  return violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])
}
