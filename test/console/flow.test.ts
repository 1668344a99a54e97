import { expect, test } from 'vitest'
import { useBrowser } from '../support/browser.ts'
import { useConsole } from '../support/console.ts'
import { button, cells, logIn, rows, useParkedConsole, waitForBar } from './parked-world.ts'

/** The only browser flow in `npm test`. The others are in `npm run proofs`. */

const browser = await useBrowser()
const { files } = await useConsole()

test('five of 300 are selected and replayed by keyboard: exactly these are handled, the others stay in order', async () => {
  const { url, park, parked, handled } = await useParkedConsole(files)
  await park(300)
  const before = await parked()
  const { page, errors } = await logIn(browser, url, 'operate')
  await rows(page, 'Causes').first().waitFor()
  await page.keyboard.press('j')
  await page.keyboard.press('Enter')
  await rows(page, 'Parked messages').first().waitFor()
  // The second and third row, a range of two, and a single row.
  for (const key of ['j', 'j', 'x', 'j', 'x', 'j', 'j', 'j', 'x', 'J', 'j', 'j', 'x']) await page.keyboard.press(key)
  const selected = [1, 2, 5, 6, 8].map((at) => before[at])
  await page.getByText('5 selected').waitFor()
  await page.keyboard.press('r')
  await page.getByRole('heading', { name: 'Replay 5 messages?' }).waitFor()
  await expect.poll(() => page.evaluate('document.activeElement.textContent')).toBe('Replay')
  await page.keyboard.press('Enter')
  await waitForBar(page, 'Replaying 5 messages')
  expect(handled).toEqual([])
  await waitForBar(page, 'The replay has started')
  await expect.poll(() => handled.length, { timeout: 20_000 }).toBe(5)
  expect(handled.toSorted()).toEqual(selected.toSorted((a = '', b = '') => (a < b ? -1 : 1)))
  await expect.poll(parked, { timeout: 20_000 }).toEqual(before.filter((id) => !selected.includes(id)))
  // The list updates by itself.
  await button(page, 'Select all 295 that match').waitFor()
  await page.getByRole('link', { name: 'Show it' }).click()
  await page.getByText('done', { exact: true }).waitFor()
  expect((await cells(page, 'Messages of the replay')).map(([, outcome]) => outcome)).toEqual(
    Array.from({ length: 5 }, () => 'handled'),
  )
  expect(errors).toEqual([])
})
