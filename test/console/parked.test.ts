import { expect, test } from 'vitest'
import { findInaccessible } from '../support/axe.ts'
import { useBrowser } from '../support/browser.ts'
import { useConsole } from '../support/console.ts'
import { button, cells, logIn, rows, useParkedConsole, waitForBar } from './parked-world.ts'

const browser = await useBrowser()
const { files } = await useConsole()

const LONG = { timeout: 90_000 }

test('3,000 parked messages of three routes are listed by cause, by queue and one by one', LONG, async () => {
  const { url, park } = await useParkedConsole(files)
  await park(1_500, { route: 'agents-status' })
  await park(1_000, { route: 'campaigns-cdr', reason: '500: no row with id 17', status: 500 })
  await park(500, { route: 'agents-call', reason: 'SQS moved it after 5 deliveries' })
  const { page, errors } = await logIn(browser, url, 'operate', '#/wall')
  await page.getByRole('link', { name: 'Parked' }).click()
  await rows(page, 'Causes').first().waitFor()
  expect((await cells(page, 'Causes')).map((all) => all.slice(0, 3))).toEqual([
    ['1,500', '422: call_ref is missing', 'agents-status'],
    ['1,000', '500: no row with id #', 'campaigns-cdr'],
    ['500', 'SQS moved it after # deliveries', 'agents-call'],
  ])
  await button(page, 'Queues').click()
  await rows(page, 'Queues').first().waitFor()
  expect((await cells(page, 'Queues')).map((all) => all.slice(0, 2))).toEqual([
    ['agents-call', '500'],
    ['agents-status', '1,500'],
    ['campaigns-cdr', '1,000'],
  ])
  await button(page, /^Messages/).click()
  await button(page, 'Select all 3,000 that match').waitFor()
  // Only rows on the screen are in the document. Scrolling reads more.
  expect(await rows(page, 'Parked messages').count()).toBeLessThan(100)
  const frame = page.locator('.rows')
  await expect
    .poll(
      async () => {
        await frame.evaluate((element) => void (element.scrollTop = element.scrollHeight))
        return page.getByRole('table', { name: 'Parked messages' }).getAttribute('aria-rowcount')
      },
      { timeout: 30_000 },
    )
    .toBe('3001')
  // More ids than one request takes.
  await page.getByLabel('Select all rows that were read').check()
  await page.getByText('3,000 selected').waitFor()
  await page.keyboard.press('r')
  await page.getByRole('heading', { name: 'Replay 3,000 messages?' }).waitFor()
  await page.getByText('This takes 3 replays, which share the rate.').waitFor()
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  // A cause leads to exactly its messages.
  await button(page, 'Causes').click()
  await page.getByText('500: no row with id #').click()
  await button(page, 'Select all 1,000 that match').waitFor()
  expect(errors).toEqual([])
})

test('all messages that match are replayed, later ones stay parked, and Undo sends nothing', LONG, async () => {
  const { url, park, parked, handled } = await useParkedConsole(files)
  await park(40)
  await park(3, { reason: '409: another cause', from: 500 })
  const { page } = await logIn(browser, url, 'operate', '#/parked?view=messages&reason=call_ref')
  await button(page, 'Select all 40 that match').click()
  await page.getByText('All 40 that match are selected').waitFor()
  await button(page, 'Replay').click()
  const question = page.getByRole('dialog')
  await question.getByRole('heading', { name: 'Replay 40 messages?' }).waitFor()
  await park(5, { from: 100 })
  await question.getByRole('button', { name: 'Replay' }).click()
  await button(page, 'Undo').click()
  await waitForBar(page, 'Undone')
  await new Promise((resolve) => setTimeout(resolve, 6_000))
  expect(handled).toEqual([])

  await page.getByText('All 45 that match are selected').waitFor()
  await button(page, 'Replay').click()
  await question.getByRole('heading', { name: 'Replay 45 messages?' }).waitFor()
  await park(5, { from: 200 })
  await question.getByRole('button', { name: 'Replay' }).click()
  await waitForBar(page, 'The replay has started')
  await expect.poll(() => handled.length, { timeout: 30_000 }).toBe(45)
  await expect.poll(async () => (await parked()).length, { timeout: 30_000 }).toBe(8)
  expect((await parked()).toSorted()).toEqual(
    [200, 201, 202, 203, 204, 500, 501, 502].map((n) => `main/p/7/${n}`).toSorted(),
  )
})

test(
  '“Try one first” replays one message, and a message that failed again is replayed from the page of its replay',
  LONG,
  async () => {
    const { url, park, parked, handled, state } = await useParkedConsole(files)
    await park(4)
    state.isBroken = () => true
    const { page } = await logIn(browser, url, 'operate', '#/parked?view=messages')
    await button(page, 'Select all 4 that match').click()
    await button(page, 'Replay').click()
    await button(page, 'Try one first').click()
    // The page shows the replay of the oldest message.
    await page.waitForURL(/#\/replays\?id=/, { timeout: 20_000 })
    await page.getByText('422: still broken').waitFor({ timeout: 20_000 })
    expect(await rows(page, 'Messages of the replay').count()).toBe(1)
    expect(handled).toEqual([])
    expect(await parked()).toHaveLength(4)
    state.isBroken = () => false
    await button(page, 'Replay messages that failed again').click()
    const question = page.getByRole('dialog')
    await question.getByText('1 was replayed before and failed again.').waitFor()
    await question.getByRole('button', { name: 'Replay' }).click()
    await expect.poll(() => handled, { timeout: 20_000 }).toEqual(['main/p/7/0'])
    // The selection is kept.
    await page.goBack()
    await page.getByText(/All \d that match are selected/).waitFor()
  },
)

test('without SQS, a replay is shown as waiting for a relay, and dead letters cannot be fetched', LONG, async () => {
  const { url, park } = await useParkedConsole(files, { hasQueues: false })
  await park(1)
  const { page, token } = await logIn(browser, url, 'operate', '#/parked?view=messages')
  await button(page, 'Select all 1 that match').click()
  expect(await button(page, 'Fetch dead letters').count()).toBe(0)
  await button(page, 'Replay').click()
  await page.getByRole('dialog').getByRole('button', { name: 'Replay' }).click()
  await waitForBar(page, 'The replay has started')
  await page.goto(`${url}/console/#/replays`)
  await page.getByText('waits for a relay').waitFor({ timeout: 20_000 })
  await rows(page, 'Replays').first().click()
  const sentence = page.getByText(/Waiting for a relay: it asks for these messages/)
  await sentence.waitFor({ timeout: 20_000 })
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  await fetch(`${url}/replays/next`, { method: 'POST', headers, body: JSON.stringify({ relay: 'pbx-1' }) })
  await sentence.waitFor({ state: 'hidden', timeout: 20_000 })
})

test('deleted messages are in the bin, and are restored with the same bytes', LONG, async () => {
  const { url, park, parked, store } = await useParkedConsole(files)
  await park(20, { own: () => ({ payload: { status: 'on 😀 break', big: '12345678901234567890' } }) })
  const before = await parked()
  const bytesOf = async () => {
    const { items } = await store.read.parked({ limit: 500 })
    return store.read.parkedMessages(items.map(({ id }) => id))
  }
  const bytes = await bytesOf()
  const { page, errors } = await logIn(browser, url, 'operate', '#/parked?view=messages')
  await rows(page, 'Parked messages').first().waitFor()
  // A range: a click, and another one with Shift.
  await rows(page, 'Parked messages').nth(2).getByRole('checkbox').click()
  await rows(page, 'Parked messages')
    .nth(6)
    .getByRole('checkbox')
    .click({ modifiers: ['Shift'] })
  await page.getByText('5 selected').waitFor()
  await button(page, 'Delete').click()
  await page.getByRole('heading', { name: 'Delete 5 messages?' }).waitFor()
  await page.getByText('Moved to the bin for seven days').waitFor()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await waitForBar(page, '5 messages were moved to the bin.')
  expect(await parked()).toEqual(before.filter((_, at) => at < 2 || at > 6))
  await page.getByRole('link', { name: 'Show the bin' }).click()
  await rows(page, 'Deleted messages').first().waitFor()
  expect(await rows(page, 'Deleted messages').count()).toBe(5)
  expect((await cells(page, 'Deleted messages'))[0]).toContain('jane')
  await button(page, 'Select all 5').click()
  await button(page, 'Restore').click()
  await waitForBar(page, '5 messages are parked again.')
  await page.getByRole('heading', { name: 'The bin is empty' }).waitFor()
  expect(await parked()).toEqual(before)
  expect(await bytesOf()).toEqual(bytes)
  expect(errors).toEqual([])
})

test('entries of the relay are deleted permanently only after the operator types a word', LONG, async () => {
  const { url, park, parkOfRelay, commands } = await useParkedConsole(files)
  await park(2)
  await parkOfRelay(1)
  const { page } = await logIn(browser, url, 'operate', '#/parked?view=messages')
  await rows(page, 'Parked messages').nth(2).waitFor()
  await button(page, 'Select all 3 that match').click()
  await button(page, 'Delete').click()
  await page.getByRole('heading', { name: 'Delete 2 messages?' }).waitFor()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await page.getByRole('heading', { name: 'Delete 1 message of the relay permanently?' }).waitFor()
  expect(await button(page, 'Delete permanently').isDisabled()).toBe(true)
  await page.getByLabel(/to confirm/).fill('delete')
  await button(page, 'Delete permanently').click()
  await waitForBar(page, 'The relay was asked to delete 1 message.')
  expect(commands).toMatchObject([{ action: 'drop', source: 'main', ids: ['main/l/1764000000000/1'] }])
})

test('a filter that looks like a phone number is in no URL and not applied, and the page says why', LONG, async () => {
  const { url, park } = await useParkedConsole(files)
  await park(3)
  const { page } = await logIn(browser, url, 'operate', '#/parked?view=messages')
  const addresses: string[] = []
  page.on('request', (request) => void addresses.push(request.url()))
  await expect.poll(() => rows(page, 'Parked messages').count()).toBe(3)
  for (const label of ['Reason contains', 'Reference']) {
    await page.getByLabel(label).fill('+27 82 123 4567')
    await page.getByLabel(label).press('Enter')
    await page.getByText(`The filter “${label}” looks like a phone number`).waitFor()
  }
  expect(await rows(page, 'Parked messages').count()).toBe(3)
  await page.getByLabel('Notification id').fill('main/p/1769846400000/17')
  await page.getByLabel('Notification id').press('Enter')
  await page.getByText('No message matches').or(page.getByText('Clear filters')).first().waitFor()
  await expect.poll(() => rows(page, 'Parked messages').count()).toBe(0)
  expect([...addresses, page.url()].filter((address) => /123.{0,3}4567/.test(address))).toEqual([])
  expect(page.url()).toContain('notification=main')
})

test('a token of the role read sees messages but no control that writes, and its writes answer 403', LONG, async () => {
  const { url, park, store } = await useParkedConsole(files)
  await park(3)
  const { page, token, errors } = await logIn(browser, url, 'read', '#/parked?view=messages')
  await rows(page, 'Parked messages').first().click()
  await page.getByRole('region', { name: 'Content' }).waitFor()
  const writes = /^(Replay|Delete|Reveal|Restore|Stop|Fetch dead letters|Try one first|Select)/
  expect(await button(page, writes).count()).toBe(0)
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  expect(await button(page, writes).count()).toBe(0)
  expect(await page.getByRole('checkbox').count()).toBe(0)
  for (const key of ['r', 'd', 'a', 'x']) await page.keyboard.press(key)
  expect(await page.getByRole('dialog').count()).toBe(0)
  for (const path of ['replays', 'parked/delete', 'parked/drain', 'bin/restore']) {
    const response = await fetch(`${url}/${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ ids: ['a'] }),
    })
    expect([path, response.status]).toEqual([path, 403])
  }
  expect((await store.read.audit()).items).toEqual([])
  expect(errors).toEqual([])
})

test(
  'markup in a payload, a reference and a reason is shown as text, even when revealed, and no number is in the URL',
  LONG,
  async () => {
    const { url, park, store } = await useParkedConsole(files)
    const bad = '"><img src=x onerror="globalThis.ran=1"><script>globalThis.ran=1</script>'
    const number = '27821234567'
    await park(1, {
      reason: `422: ${bad}`,
      own: () => ({ subject: bad, payload: { status: bad, number, contact_ref: bad, big: 1 } }),
    })
    const { page, errors } = await logIn(browser, url, 'operate')
    await page.getByText('422: …').click()
    await rows(page, 'Parked messages').first().click()
    const content = page.getByRole('region', { name: 'Content' })
    await content.waitFor()
    expect(await content.textContent()).not.toContain(number)
    expect((await store.read.audit()).items).toEqual([])
    await button(page, 'Reveal').click()
    await expect.poll(() => content.textContent()).toContain(number)
    expect(await content.textContent()).toContain('<script>globalThis.ran=1</script>')
    expect((await store.read.audit()).items).toMatchObject([{ action: 'reveal', operator: 'jane', count: 1 }])
    expect(await page.locator('img, main script, dialog script').count()).toBe(0)
    expect(await page.evaluate('globalThis.ran')).toBeUndefined()
    expect(page.url()).not.toContain(number)
    expect(errors).toEqual([])
  },
)

test('axe reports nothing on the pages and their dialogs, light and dark, and at 200 %', LONG, async () => {
  const { url, park, parkOfRelay, state } = await useParkedConsole(files)
  await park(60)
  await park(2, { reason: '409: it was closed', status: 409, from: 100 })
  await parkOfRelay(1)
  state.isBroken = (id) => id.endsWith('0')
  const { page } = await logIn(browser, url, 'operate')
  const found: string[] = []
  const look = async (what: string) => {
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      found.push(...(await findInaccessible(page)).map((problem) => `${what}, ${colorScheme}: ${problem.join(' ')}`))
    }
  }
  await rows(page, 'Causes').first().waitFor()
  await look('causes')
  await button(page, 'Queues').click()
  await rows(page, 'Queues').first().waitFor()
  await look('queues')
  await button(page, /^Messages/).click()
  await rows(page, 'Parked messages').first().waitFor()
  for (const key of ['j', 'x', 'J', 'J']) await page.keyboard.press(key)
  await look('messages')
  await page.keyboard.press('Enter')
  await page.getByRole('region', { name: 'Content' }).waitFor()
  await look('a message')
  await page.keyboard.press('Escape')
  await page.keyboard.press('d')
  await page.getByRole('heading', { name: /^Delete 2 messages|^Delete 3 messages/ }).waitFor()
  await look('delete')
  await page.keyboard.press('Escape')
  await page.keyboard.press('a')
  await page.keyboard.press('r')
  await page.getByRole('heading', { name: 'Replay 63 messages?' }).waitFor()
  await look('replay')
  await page.getByRole('dialog').getByRole('button', { name: 'Replay' }).click()
  await waitForBar(page, '2 replays have started')
  await page.getByRole('link', { name: 'Replays', exact: true }).click()
  await rows(page, 'Replays').nth(1).waitFor()
  await look('replays')
  await rows(page, 'Replays').nth(1).click()
  await page.getByText('failed again').first().waitFor()
  await look('a replay')
  await page.getByRole('link', { name: 'Bin' }).click()
  await page.getByRole('heading', { name: 'The bin is empty' }).waitFor()
  await look('the empty bin')
  await page.setViewportSize({ width: 640, height: 400 })
  await page.getByRole('link', { name: 'Parked' }).click()
  await rows(page, 'Causes').first().waitFor()
  await look('half the width')
  expect(await page.evaluate('document.documentElement.scrollWidth > innerWidth')).toBe(false)
  expect(found).toEqual([])
})
