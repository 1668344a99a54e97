import './console.css'
import { render } from 'preact'
import { App } from './app.tsx'
import { runClock } from './clock.ts'
import './console.css'
import { listenToKeys } from './keys.ts'
import { followAddress } from './location.ts'

followAddress()
runClock()
listenToKeys()
render(<App />, document.body)
