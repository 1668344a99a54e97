import { cdr, relayGap } from 'enigma-relay/store'
import { expect, test } from 'vitest'
import { notice } from '../api/api-world.ts'
import { MASKED } from '../client/client-world.ts'
import { useBrowser, usePage } from '../support/browser.ts'
import { useConsole } from '../support/console.ts'
import { expectAccessible, hasCall, isIn, logIn, runs, useServedConsole } from './wall-world.ts'

const browser = await useBrowser()
const { files } = await useConsole()

const useWall = async (hash = '', token?: string) => {
  const world = await useServedConsole(files)
  const { page, errors } = await usePage(browser, { viewport: { width: 1280, height: 800 } })
  const open = async () => logIn(page, world.url, hash, token)
  const tile = (ref: string) => page.locator(`.tile[data-ref=${JSON.stringify(ref)}]`)
  return { ...world, page, errors, open, tile, tiles: page.locator('.tile') }
}

test('a tile shows its agent’s state, call and time, and changes when the agent does', async () => {
  const { commit, open, tile, page, errors } = await useWall()
  await commit(runs('7'), isIn('1002', 'available', { minutes: 3 }), isIn('1003', 'wrapup'))
  await open()
  await expect.poll(() => tile('1002').innerText()).toMatch(/3m \d\ds[^]*● 1002[^]*available 7/)
  await commit(isIn('1002', 'busy'), hasCall('1002'))
  await expect
    .poll(() => tile('1002').innerText(), { timeout: 5_000 })
    .toMatch(/◆ 1002[^]*↗[^]*busy 7[^]*outbound call/)
  const before = await tile('1002').locator('.time').innerText()
  await expect.poll(() => tile('1002').locator('.time').innerText(), { timeout: 3_000 }).not.toBe(before)
  expect(await tile('1003').innerText()).toContain('wrap-up')
  expect(await page.locator('.figure-agents .big').innerText()).toBe('2')
  expect(errors).toEqual([])
})

test('of 2,000 agents, only those on the screen are in the document; scrolling and filters show the others', async () => {
  const { commit, open, tile, tiles, page } = await useWall()
  const refs = Array.from({ length: 2_000 }, (_, at) => String(5_000 + at))
  for (let from = 0; from < refs.length; from += 200)
    await commit(...refs.slice(from, from + 200).map((ref) => isIn(ref, 'available')))
  await commit(isIn('6999', 'busy', { minutes: 15 }), isIn('6998', 'busy', { minutes: 25 }))
  await open()
  await tile('5000').waitFor()
  expect(await tiles.count()).toBeLessThan(250)
  expect(await tile('6999').count()).toBe(0)
  await page.locator('main').evaluate((main) => main.scrollTo(0, main.scrollHeight))
  await tile('6999').waitFor()
  await page.getByLabel('Time in state').selectOption('warn')
  await expect.poll(() => tiles.count()).toBe(2)
  expect(new URL(page.url()).hash).toBe('#/wall?level=warn')
  await page.getByLabel('Order').selectOption('longest')
  await expect.poll(() => tiles.first().innerText()).toMatch(/25m[^]*◆ 6998 !!/)
  await page.getByLabel('Time in state').selectOption('over')
  await expect.poll(() => tiles.count()).toBe(1)
  await page.getByRole('button', { name: 'Thresholds' }).click()
  await page.getByLabel('busy: minutes until too long').fill('12')
  await page.getByLabel('busy: minutes until long').fill('1')
  await page.getByRole('button', { name: 'Save' }).click()
  await expect.poll(() => tiles.count()).toBe(2)
  await page.locator('[data-filter=state]').selectOption('wrapup')
  await page.getByText('No agent matches the filters').waitFor()
})

test('text in a filter stays while the wall changes, and applies when Enter is pressed', async () => {
  const { commit, open, tile, tiles, page } = await useWall()
  await commit(isIn('1002', 'available'))
  await open()
  await tile('1002').waitFor()
  const filter = page.getByLabel('Agent', { exact: true })
  await filter.fill('100')
  await commit(isIn('1003', 'busy'), isIn('2001', 'busy'))
  await tile('2001').waitFor({ timeout: 10_000 })
  expect(await filter.inputValue()).toBe('100')
  await filter.press('Enter')
  await expect.poll(() => tiles.count()).toBe(2)
  await page.evaluate("location.hash = '#/wall?agent=2001'")
  await expect.poll(() => filter.inputValue()).toBe('2001')
})

test('a paused wall does not change, and shows the present states when it resumes', async () => {
  const { commit, open, tile, page } = await useWall()
  await commit(isIn('1002', 'available'))
  await open()
  await tile('1002').waitFor()
  await page.keyboard.press('p')
  await page.getByText(/Paused since/).waitFor()
  const before = await page.locator('main .tiles').innerText()
  await commit(isIn('1002', 'busy'), isIn('1003', 'busy'))
  await page.getByText('2 changes not shown').waitFor({ timeout: 5_000 })
  await page.waitForTimeout(3_000)
  expect(await page.locator('main .tiles').innerText()).toBe(before)
  await page.keyboard.press('p')
  await expect.poll(() => tile('1002').innerText(), { timeout: 5_000 }).toContain('busy')
  await tile('1003').waitFor()
})

test('a lost connection is shown with its duration, and afterwards the stream shows each change once', async () => {
  const { commit, open, page, stop, start } = await useWall('#/stream')
  await commit(isIn('before', 'busy'))
  await open()
  await commit(isIn('a1', 'busy'), isIn('a2', 'busy'))
  const refs = async () => page.locator('.rows tbody tr[data-id] td:nth-child(3)').allInnerTexts()
  await expect.poll(refs).toEqual(['a2', 'a1'])
  await stop()
  await page.getByText(/Connection lost for \ds/).waitFor()
  await commit(isIn('a3', 'busy'))
  await page.getByText(/Connection lost for [3-9]s/).waitFor({ timeout: 10_000 })
  await commit(isIn('a4', 'busy'))
  await start()
  await expect.poll(refs, { timeout: 20_000 }).toEqual(['a4', 'a3', 'a2', 'a1'])
  await expect.poll(() => page.getByText(/Connection lost/).count()).toBe(0)
  await commit(isIn('a5', 'busy'))
  await expect.poll(refs).toEqual(['a5', 'a4', 'a3', 'a2', 'a1'])
  expect(await page.locator('.stream-bar').count()).toBe(0)
})

test('the stream pauses with a count of new changes, keeps its filter in the URL, shows gaps, and links to the agent', async () => {
  const { commit, open, page } = await useWall('#/stream')
  await commit(isIn('before', 'busy'))
  await open()
  await page.getByText('Nothing has changed since you logged in').waitFor()
  await commit(isIn('1002', 'busy'), isIn('1003', 'busy'))
  const rows = page.locator('.rows tbody tr[data-id]:not(.stream-bar)')
  await expect.poll(() => rows.count()).toBe(2)
  await page.keyboard.press('p')
  await commit(isIn('1002', 'wrapup'), isIn('1002', 'available'), isIn('1004', 'busy'))
  await page.getByRole('button', { name: '3 new' }).waitFor()
  expect(await rows.count()).toBe(2)
  await page.keyboard.press('p')
  await expect.poll(() => rows.count()).toBe(5)
  const to = new Date().toISOString()
  const gap = { source: 'main', relay: 'r1', from: to, to, cause: 'reconnect', patterns: ['enigma:*'] }
  await commit(
    relayGap(notice(gap, { transport: 'relay', type: 'relay', subType: 'gap', timeMs: Date.now() })),
    isIn('1005', 'busy'),
  )
  await page.locator('.stream-bar').getByText('Relay r1 did not hear Pub/Sub of main').waitFor()
  await page.getByLabel('Reference').fill('1002')
  await page.getByLabel('Reference').press('Enter')
  await expect.poll(() => rows.count()).toBe(3)
  expect(new URL(page.url()).hash).toBe('#/stream?reference=1002')
  await rows.first().getByRole('link', { name: '1002' }).click()
  await page.getByRole('dialog', { name: 'Agent 1002' }).getByText('available').waitFor()
})

test('markup in references and states is shown as text', async () => {
  const { commit, open, tile, page, errors } = await useWall()
  const [script, image] = ['<script>globalThis.ran = 1</script>', '"><img src=x onerror="globalThis.ran=1">']
  await commit(
    runs(script),
    isIn(image, '<b>odd</b>', { campaign: script }),
    hasCall(image, { call_ref: image, contact_ref: script }),
  )
  await open()
  await page.locator('.campaigns').getByText(script).waitFor()
  await page.getByText(image).first().click()
  await page.getByRole('dialog').getByText('<b>odd</b>').first().waitFor()
  expect(await page.locator('main img, main script, main .tile b b').count()).toBe(0)
  await page.keyboard.press('Escape')
  await page.keyboard.press('3')
  await commit(isIn(image, 'busy', { campaign: script }))
  await page.locator('.rows').getByText(image).first().waitFor()
  expect(await page.locator('main img, main script').count()).toBe(0)
  expect(await page.evaluate('globalThis.ran')).toBeUndefined()
  expect(errors).toEqual([])
  expect(await tile('none').count()).toBe(0)
})

test('numbers are masked until the user reveals them, and a masked token cannot reveal them', async () => {
  const { commit, open, tile, page } = await useWall()
  await commit(isIn('1002', 'busy'), hasCall('1002'))
  await open()
  await tile('1002').focus()
  await page.keyboard.press('Enter')
  const dialog = page.getByRole('dialog', { name: 'Agent 1002' })
  await dialog.getByText('27*******67').first().waitFor()
  expect(await dialog.innerText()).not.toContain('27821234567')
  await dialog.getByRole('button', { name: 'Reveal numbers' }).click()
  await dialog.getByText('27821234567').first().waitFor()
  await page.keyboard.press('Escape')
  expect(await tile('1002').evaluate((button) => button === document.activeElement)).toBe(true)
  expect(await tile('1002').evaluate((button) => getComputedStyle(button).outlineOffset)).toBe('-2px')
  await page.getByRole('button', { name: 'Log out' }).click()
  await page.getByLabel('API token').fill(MASKED)
  await page.keyboard.press('Enter')
  await tile('1002').click()
  await dialog.getByText('27*******67').first().waitFor()
  expect(await dialog.getByRole('button', { name: 'Reveal numbers' }).count()).toBe(0)
})

test('the focus returns from a dialog to the element that opened it, and stays where the user moves it afterwards', async () => {
  const { commit, open, page } = await useWall()
  await commit(isIn('1002', 'available'))
  await open()
  const thresholds = page.getByRole('button', { name: 'Thresholds' })
  const hasFocus = (locator: typeof thresholds) => locator.evaluate((element) => element === document.activeElement)
  for (const close of ['Save', 'Close']) {
    await thresholds.click()
    await page.getByRole('dialog').getByRole('button', { name: close }).click()
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    expect([close, await hasFocus(thresholds)]).toEqual([close, true])
  }
  await thresholds.click()
  await page.getByRole('dialog').waitFor()
  const order = page.getByLabel('Order')
  // The focus moves before the page gets the close event of the dialog.
  await order.evaluate((element) => {
    document.querySelector('dialog')?.close()
    element.focus()
  })
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  expect(await hasFocus(order)).toBe(true)
})

test('axe reports nothing on the wall, an agent, the thresholds and the stream, in light and dark', async () => {
  const { commit, open, tile, page } = await useWall()
  await open()
  await page.getByText('No data from the call centre yet').waitFor()
  await expectAccessible(page)
  const states = ['available', 'busy', 'wrapup', 'logging_in', 'logging_out', 'offline', 'lunch']
  await commit(
    runs('7'),
    runs('8', 'stopped'),
    ...states.flatMap((state, at) => [0, 2.5, 30].map((minutes) => isIn(`${at}-${minutes}`, state, { minutes }))),
    hasCall('1-0'),
    relayGap(
      notice(
        { source: 'main', relay: 'r1', from: isoAgo(60), to: isoAgo(30), cause: 'start', patterns: ['enigma:*'] },
        { transport: 'relay', type: 'relay', subType: 'gap', timeMs: Date.now() - 30_000 },
      ),
    ),
  )
  await tile('1-0').waitFor()
  await page.getByRole('button', { name: 'Charts of campaign 7' }).click()
  await page.getByText('CDRs by end reason').waitFor()
  await expectAccessible(page)
  await tile('1-0').click()
  await page.getByRole('dialog').getByText('Latest calls').waitFor()
  await expectAccessible(page)
  await page.keyboard.press('Escape')
  await page.getByRole('button', { name: 'Thresholds' }).click()
  await expectAccessible(page)
  await page.keyboard.press('Escape')
  await page.keyboard.press('3')
  await commit(isIn('1002', 'busy'))
  await page.locator('.rows').getByText('1002').waitFor()
  await expectAccessible(page)
})

test('each figure of a campaign stays in its column, even if every call is abandoned', async () => {
  const { commit, open, page } = await useWall()
  const abandoned = (at: number) =>
    cdr(
      notice(
        {
          call_ref: `a${at}`,
          dialed_at: Date.now() / 1_000 - 60,
          ref: '7',
          extension: null,
          end_reason: 'callee_hungup',
        },
        { type: 'campaigns', subType: 'cdr', reference: undefined, id: `main/l/1/${at}`, timeMs: Date.now() },
      ),
    )
  await commit(runs('7'), ...Array.from({ length: 12 }, (_, at) => abandoned(at)))
  await open()
  const rates = page.locator('.campaigns tbody td').nth(6)
  await expect.poll(() => rates.innerText()).toMatch(/▲ 100[^]*\/ ▲ 100/)
  const cells = page.locator('.campaigns tbody tr:first-child > *')
  expect(await cells.evaluateAll((all) => all.filter((cell) => cell.scrollWidth > cell.clientWidth).length)).toBe(0)
})

const isoAgo = (seconds: number) => new Date(Date.now() - seconds * 1_000).toISOString()
