import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import type { Page } from 'playwright-core'

type Answer = { readonly violations: readonly { readonly id: string; readonly nodes: readonly { html: string }[] }[] }

let source: Promise<string> | undefined

/** What axe finds wrong with a page for people who cannot see it well, or use no mouse: each rule, with the elements that break it. */
export async function findInaccessible(page: Page): Promise<(readonly [rule: string, elements: readonly string[]])[]> {
  source ??= readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
  // As from the developer tools, which the page's policy does not concern.
  await page.evaluate(await source)
  const { violations } = (await page.evaluate('axe.run()')) as Answer
  return violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])
}
