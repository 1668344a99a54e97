import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { chromium, type Browser } from 'playwright-core'

/** As Debian and others name it: `npm test` makes sure that there is one. */
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

/** Starts a Chromium without a window. */
export async function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: await findBrowser(),
    // Chromium's sandbox does not run as root.
    chromiumSandbox: process.getuid?.() !== 0,
  })
}
