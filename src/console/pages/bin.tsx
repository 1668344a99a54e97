import type { Session } from '../session.ts'

export function Bin({ session: _session }: { readonly session: Session }) {
  return <p>Bin</p>
}
