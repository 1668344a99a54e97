import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startStreet } from '../../src/local/street/street.ts'
import { createLog } from '../../src/runtime/index.ts'
import { launchBrowser } from '../support/launch-browser.ts'

/** `npm run screenshots`: takes the pictures of the README and docs/console.md, on a street with a simulated call centre. */

const SHOTS = [
  { name: 'wall', hash: '#/wall', ready: '.tiles' },
  { name: 'parked', hash: '#/parked?view=causes', ready: '.rows tbody tr[data-id]' },
] as const

/** Long enough for calls of each state and some hundred CDRs. */
const PLAY_MS = 90_000

// Functions that fail on purpose log each failure.
console.error = () => undefined
const folder = await mkdtemp(join(tmpdir(), 'enigma-screenshots-'))
process.env['ENIGMA_API'] = '127.0.0.1:0'
const street = await startStreet({
  env: process.env,
  folder,
  log: createLog('error'),
  callCentre: { agents: 70, speed: 1, seed: 11 },
  diallerPort: 0,
  faults: [
    { route: 'campaigns-cdr', status: 422, share: 0.1, untilMs: undefined },
    { route: 'agents-stats', status: 400, share: 0.2, untilMs: undefined },
    { route: 'inbound-call', status: 404, share: 0.5, untilMs: undefined },
  ],
})
const browser = await launchBrowser()
try {
  await new Promise((resolve) => setTimeout(resolve, PLAY_MS))
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme: 'light' })
  await page.goto(`${street.api.url}/console/`)
  await page.getByLabel('API token').fill(street.api.token)
  await page.getByRole('button', { name: 'Log in' }).click()
  for (const { name, hash, ready } of SHOTS) {
    await page.goto(`${street.api.url}/console/${hash}`)
    await page.locator(ready).first().waitFor()
    // Until everything has been read, and the clock has ticked.
    await page.waitForTimeout(2_000)
    const path = `docs/images/${name}.png`
    await page.screenshot({ path })
    process.stdout.write(`${path}\n`)
  }
} finally {
  await browser.close()
  await street.stop()
  await rm(folder, { recursive: true, force: true })
}
