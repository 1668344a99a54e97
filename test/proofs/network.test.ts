import type { Page } from 'playwright-core'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { useBrowser } from '../support/browser.ts'
import { useProxy } from '../support/proxy.ts'
import { waitFor } from '../support/relay.ts'
import { logIn } from './operator.ts'
import { useStreetProcess, type Packet } from './street-process.ts'

const browser = await useBrowser()

const status = (ref: string): readonly [string, Packet] => [
  `agents:${ref}`,
  { type: 'status', payload: { ref, status: 'busy' } },
]
const CUT_MS = 30_000

test.each(['cut', 'silent'] as const)(
  'a network that is %s for 30 seconds is shown with the duration, and the stream catches up without a duplicate',
  async (how) => {
    const street = await useStreetProcess()
    const proxy = await useProxy(Number(new URL(street.url).port))
    const url = `http://127.0.0.1:${proxy.port}`
    const { page } = await logIn(browser, url, 'jane', { path: '#/stream?type=agents%2Fstatus' })
    const published: string[] = []
    const publish = async (name: string, count: number) => {
      const refs = Array.from({ length: count }, (_, n) => `${name}-${n}`)
      published.push(...refs)
      await street.publish(refs.map(status))
    }
    // The first probes may arrive before the page listens.
    let probes = 0
    await waitFor(async () => {
      await street.publish([status(`probe-${++probes}`)])
      await delay(1_000)
      return (await rowCount(page)) > 0
    }, 'the stream to begin')
    await publish('before', 10)
    await expect.poll(() => rowCount(page), { timeout: 20_000 }).toBeGreaterThanOrEqual(11)
    await delay(1_500)
    const before = await rowCount(page)

    const cutMs = performance.now()
    if (how === 'cut') {
      proxy.state.refuse = true
      proxy.cut()
    } else proxy.state.halfOpen = true
    await publish('during', 30)
    const lost = page.locator('.lost')
    await lost.getByText('Connection lost for').waitFor({ timeout: 60_000 })
    const shown: number[] = []
    const seconds = async () => Number(/lost for (\d+)s/.exec(await lost.innerText())?.[1] ?? 0)
    for (let at = 0; at < 3; at++) {
      shown.push(await seconds())
      await delay(2_500)
    }
    expect(shown.every((one, at) => at === 0 || one > (shown[at - 1] ?? 0))).toBe(true)
    await publish('late', 30)
    await delay(Math.max(0, CUT_MS - (performance.now() - cutMs)))
    if (how === 'cut') expect(await seconds()).toBeGreaterThanOrEqual(25)
    // The rows from before the outage are still there.
    expect(await rowCount(page)).toBe(before)

    proxy.state.refuse = proxy.state.halfOpen = false
    proxy.cut()
    await lost.waitFor({ state: 'hidden', timeout: 60_000 })
    await publish('after', 10)
    const arrived = async () => (await readRefs(page)).filter((ref) => !ref.startsWith('probe'))
    await expect.poll(async () => (await arrived()).length, { timeout: 60_000 }).toBe(published.length)
    // No change arrives later.
    await delay(3_000)
    expect((await arrived()).toSorted()).toEqual(published.toSorted())
    expect(await page.getByText('were missed').count()).toBe(0)
  },
)

const table = (page: Page) => page.getByRole('table', { name: 'Changes, newest first' })
const rowCount = async (page: Page): Promise<number> =>
  (await table(page).count()) === 0 ? 0 : Number(await table(page).getAttribute('aria-rowcount')) - 1

/** The references of all rows; only those on the screen are in the document. */
async function readRefs(page: Page): Promise<readonly string[]> {
  const found = new Map<string, string>()
  for (let top = 0; top < 4_000; top += 400) {
    await page.locator('.rows').evaluate((frame, to) => void (frame.scrollTop = to), top)
    await delay(100)
    // On a busy machine, the relay may miss a heartbeat. The bar of such a gap is not a change.
    const all = await table(page)
      .locator('tr[data-id]:not(.stream-bar)')
      .evaluateAll((some) =>
        some.map((row) => [row.getAttribute('data-id') ?? '', row.children[2]?.textContent ?? ''] as const),
      )
    for (const [id, ref] of all) found.set(id, ref)
  }
  return [...found.values()]
}
