import type { Page } from 'playwright-core'
import { cdr } from 'enigma-relay/store'
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import type { Cdr } from '../../src/protocol/index.ts'
import { notice, TOKEN } from '../api/api-world.ts'
import { MASKED, OPERATOR, useServedApi } from '../client/client-world.ts'
import { findInaccessible } from '../support/axe.ts'
import { useBrowser, usePage } from '../support/browser.ts'
import { useConsole } from '../support/console.ts'

const browser = await useBrowser()
const { files } = await useConsole()

const THEN = Math.floor(Date.now() / 1000) - 3_600
const NUMBER = '27821234567'

const tried = (n: number, own: Partial<Cdr> = {}) =>
  cdr(
    notice<Cdr>(
      {
        call_ref: String(9_007_199_254_740_993n + BigInt(n)),
        dialed_at: THEN + n,
        ref: '7',
        extension: '1002',
        number: NUMBER,
        contact_ref: `A-${n}`,
        end_reason: 'hungup',
        ...own,
      },
      { type: 'campaigns', subType: 'cdr', transport: 'list' },
    ),
  )

/** Opens the page of CDRs with this token, and records the URLs of all requests. */
async function useCdrs(token: string, effects: Parameters<Awaited<ReturnType<typeof useServedApi>>['commit']>) {
  const world = await useServedApi({ console: files })
  await world.commit(...effects)
  const { page, errors } = await usePage(browser, { acceptDownloads: true })
  const addresses: string[] = []
  page.on('request', (request) => void addresses.push(request.url()))
  await page.goto(`${world.url}/console/#/cdrs`)
  await page.getByLabel('API token').fill(token)
  await page.getByRole('button', { name: 'Log in' }).click()
  await page.getByRole('table', { name: 'CDRs' }).or(page.getByText('No CDRs yet')).waitFor()
  return { ...world, page, errors, addresses }
}

const rowsOf = (page: Page) => page.locator('.rows tbody tr[data-id]')
const dialogOf = (page: Page) => page.getByRole('dialog')

const search = async (page: Page, label: string, text: string) => {
  await page.getByLabel(label, { exact: true }).fill(text)
  await page.getByLabel(label, { exact: true }).press('Enter')
}

test('a search by number and contact finds CDRs, and leaves neither in a URL, the title, a cookie or the history', async () => {
  const { page, addresses, errors } = await useCdrs(OPERATOR, [
    tried(1),
    tried(2, { number: '27829999999', contact_ref: 'B-2' }),
    tried(3),
  ])
  await expect.poll(() => rowsOf(page).count(), { timeout: 10_000 }).toBe(3)
  await search(page, 'Number', NUMBER)
  await expect.poll(() => rowsOf(page).count(), { timeout: 10_000 }).toBe(2)
  await search(page, 'Contact', 'A-3')
  await expect.poll(() => rowsOf(page).count(), { timeout: 10_000 }).toBe(1)
  await search(page, 'Campaign', '7')
  await expect.poll(() => page.url()).toMatch(/#\/cdrs\?campaign=7$/)
  await rowsOf(page).first().click()
  await dialogOf(page).getByText('Payload').waitFor()
  await page.keyboard.press('Escape')
  const places = [...addresses, page.url(), await page.title(), String(await page.evaluate('document.cookie'))]
  const history = await page.evaluate<string[]>('navigation.entries().map(({ url }) => url)')
  expect(history).toContain(page.url())
  expect([...places, ...history].filter((place) => /1234567|A-3/.test(place))).toEqual([])
  expect(addresses.some((address) => address.includes('/cdrs/search'))).toBe(true)
  await page.reload()
  await expect.poll(() => rowsOf(page).count(), { timeout: 10_000 }).toBe(3)
  expect(errors).toEqual([])
})

test('personal data is masked until it is revealed, and can be masked again; references keep every digit', async () => {
  const { page } = await useCdrs(TOKEN, [tried(1, { recording_url: 'https://recordings.example.com/a?b=1' })])
  expect(await rowsOf(page).first().innerText()).toMatch(/27\*+67/)
  await page.keyboard.press('j')
  await page.keyboard.press('Enter')
  const dialog = dialogOf(page)
  await dialog.getByText('Payload').waitFor()
  expect(await dialog.innerText()).not.toContain(NUMBER)
  await dialog.getByRole('button', { name: 'Reveal personal data' }).click()
  await dialog.getByText(NUMBER).first().waitFor()
  expect(await dialog.locator('pre').innerText()).toContain('"call_ref": "9007199254740994"')
  const link = dialog.getByRole('link', { name: 'https://recordings.example.com/a?b=1' })
  expect(await link.getAttribute('rel')).toContain('noreferrer')
  await dialog.getByRole('button', { name: 'Mask personal data' }).click()
  await expect.poll(() => dialog.innerText()).not.toContain(NUMBER)
})

test('a token with the role masked has no search by number and no Reveal button', async () => {
  const { page } = await useCdrs(MASKED, [tried(1)])
  expect(await page.getByLabel('Number', { exact: true }).count()).toBe(0)
  await rowsOf(page).first().click()
  await dialogOf(page).getByText('Payload').waitFor()
  expect(
    await dialogOf(page)
      .getByRole('button', { name: /Reveal/ })
      .count(),
  ).toBe(0)
})

test('scripts, images and javascript: URLs in CDRs are shown as text', async () => {
  const evil = '"><img src=x onerror="globalThis.ran=1"><script>globalThis.ran=1</script>'
  const { page, errors } = await useCdrs(OPERATOR, [
    tried(1, { contact_ref: evil, end_reason: evil, ref: evil, recording_url: 'javascript:globalThis.ran=1' }),
    tried(1, { contact_ref: `${evil}2`, end_reason: 'busy', ref: evil, recording_url: 'javascript:globalThis.ran=1' }),
  ])
  await rowsOf(page).first().click()
  const dialog = dialogOf(page)
  await dialog.getByRole('button', { name: 'Reveal personal data' }).click()
  await dialog.getByText('javascript:globalThis.ran=1').first().waitFor()
  expect(await dialog.getByRole('link', { name: /javascript/ }).count()).toBe(0)
  expect(await page.locator('img, main script, dialog script').count()).toBe(0)
  expect(await page.evaluate('globalThis.ran')).toBeUndefined()
  expect(errors).toEqual([])
})

test('revisions are shown side by side, and differences are marked', async () => {
  const { page } = await useCdrs(TOKEN, [tried(1, { end_reason: 'busy' }), tried(1, { end_reason: 'hungup' })])
  await rowsOf(page).getByText('revised').waitFor()
  await rowsOf(page).first().click()
  const table = dialogOf(page).locator('.revisions')
  const row = table.getByRole('row').filter({ has: page.getByRole('rowheader', { name: 'End reason' }) })
  expect(await row.innerText()).toMatch(/hungup\s+≠ busy/)
  expect(await table.locator('mark').filter({ hasText: 'A-1' }).count()).toBe(0)
})

test('an export has every matching CDR, is masked by default, and contains no formula', async () => {
  const { page, commit } = await useCdrs(OPERATOR, [
    ...Array.from({ length: 620 }, (_, n) => tried(n)),
    tried(700, { ref: '8', number: `+${NUMBER}`, contact_ref: '=HYPERLINK("http://evil")' }),
  ])
  const save = async (isPersonal: boolean) => {
    await page.getByRole('button', { name: 'Export as CSV' }).click()
    if (isPersonal) await dialogOf(page).getByRole('checkbox').check()
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      dialogOf(page).getByRole('button', { name: 'Export', exact: true }).click(),
    ])
    const text = await readFile(await download.path(), 'utf8')
    expect(download.suggestedFilename()).toMatch(/^cdrs-[\dT-]+\.csv$/)
    await dialogOf(page)
      .getByText(/^Saved/)
      .waitFor()
    await page.keyboard.press('Escape')
    return text.split('\r\n')
  }
  const all = await save(false)
  expect(all[0]).toMatch(/^\ufeff"dialed_at","campaign_ref"/)
  expect(all).toHaveLength(1 + 621 + 1)
  expect(all.join('')).not.toContain(NUMBER)
  await page.getByText('500 or more CDRs').waitFor()
  // At the top of the list, the new CDR would appear by itself.
  await page.locator('.rows').hover()
  await page.mouse.wheel(0, 2_000)
  await expect
    .poll(() => page.locator('.rows').evaluate('document.querySelector(".rows").scrollTop'))
    .toBeGreaterThan(0)
  await commit(tried(701, { ref: '9' }))
  await page.getByRole('button', { name: '1 new CDR: show' }).click()
  await expect.poll(() => rowsOf(page).first().innerText(), { timeout: 10_000 }).toMatch(/\s9\s+1002/)
  // The button disappears one frame after the rows appear.
  await expect.poll(() => page.getByRole('button', { name: /new CDR/ }).count()).toBe(0)
  await search(page, 'Campaign', '8')
  await expect.poll(() => rowsOf(page).count(), { timeout: 10_000 }).toBe(1)
  const [, line, end] = await save(true)
  expect(line).toContain(`"'+${NUMBER}"`)
  expect(line).toContain(`"'=HYPERLINK(""http://evil"")"`)
  expect(end).toBe('')
})

test('CDRs of a time span are replayed from a dialog, with Undo; a number or a missing time span is rejected', async () => {
  const { page, store, url } = await useCdrs(OPERATOR, [tried(1), tried(2)])
  const ask = () => page.getByRole('button', { name: 'Replay …' }).click()
  await ask()
  await dialogOf(page).getByText('Select a time span first').waitFor()
  await page.keyboard.press('Escape')
  await page.getByLabel('From (your time)').fill('2026-01-31T08:00')
  await search(page, 'Number', NUMBER)
  await ask()
  await dialogOf(page).getByText('cannot select by number').waitFor()
  await page.keyboard.press('Escape')
  await search(page, 'Number', '')
  const send = async () => {
    await ask()
    await dialogOf(page).getByLabel('CDRs a second, at most').fill('7')
    await dialogOf(page)
      .getByRole('button', { name: /^Replay .*CDR/ })
      .click()
  }
  await send()
  await page.getByRole('button', { name: 'Undo' }).click()
  await page.getByText('Undone').waitFor()
  expect((await store.read.replays()).items).toEqual([])
  await send()
  await expect.poll(() => page.url(), { timeout: 10_000 }).toContain(`${url}/console/#/replays?id=`)
  expect((await store.read.replays()).items).toMatchObject([
    { rate: 7, operator: 'jane', cdrs: { route: 'campaigns-cdr', from: expect.any(String) as string } },
  ])
})

test('without the role operate, nothing can be replayed', async () => {
  const { page } = await useCdrs(TOKEN, [tried(1)])
  await rowsOf(page).first().waitFor()
  expect(await page.getByRole('button', { name: 'Replay …' }).count()).toBe(0)
})

test('new CDRs appear by themselves, and an empty page explains where CDRs come from', async () => {
  const { page, commit } = await useCdrs(TOKEN, [])
  await page.getByText('The dialler writes a CDR for each number').waitFor()
  await commit(tried(1))
  await expect.poll(() => rowsOf(page).count(), { timeout: 15_000 }).toBe(1)
  await search(page, 'Agent (extension)', 'none')
  await page.getByText('No CDR matches').waitFor()
})

test.each(['light', 'dark'] as const)(
  'axe reports nothing in the list, a revised CDR and the dialogs: %s',
  async (colorScheme) => {
    const { page } = await useCdrs(OPERATOR, [tried(1, { end_reason: 'busy' }), tried(1), tried(2)])
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    expect(await findInaccessible(page)).toEqual([])
    await rowsOf(page).filter({ hasText: 'revised' }).click()
    await dialogOf(page).getByText('Payload').waitFor()
    expect(await findInaccessible(page)).toEqual([])
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: 'Export as CSV' }).click()
    expect(await findInaccessible(page)).toEqual([])
    await page.keyboard.press('Escape')
    await page.getByLabel('From (your time)').fill('2026-01-31T08:00')
    await page.getByRole('button', { name: 'Replay …' }).click()
    await dialogOf(page)
      .getByRole('button', { name: /^Replay .*CDR/ })
      .waitFor()
    expect(await findInaccessible(page)).toEqual([])
  },
)
