import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { chromium, type Browser } from 'playwright-core'

/** The names of the program on Debian and other systems. `npm test` makes sure that one is installed. */
const NAMES = ['chromium', 'chromium-browser', 'google-chrome']

async function findBrowser(): Promise<string> {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '')
  for (const name of NAMES)
    for (const folder of folders) {
      const file = join(folder, name)
      if (
        await access(file, constants.X_OK).then(
          () => true,
          () => false,
        )
      )
        return file
    }
  throw new Error(`none of ${NAMES.join(', ')} is on PATH: run npm test, or install it`)
}

/** Launches a headless Chromium. */
export async function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: await findBrowser(),
    // Chromium's sandbox does not work as root.
    chromiumSandbox: process.getuid?.() !== 0,
  })
}
