import { render } from 'preact'
import './console.css'

const Page = () => (
  <main>
    <h1>enigma-relay</h1>
  </main>
)

render(<Page />, document.body)
