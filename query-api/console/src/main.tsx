import './style/base.css'
import './style/shell.css'
import './style/parts.css'
import './theme'
import { render } from 'preact'
import { App } from './app'

const root = document.getElementById('app')!
root.replaceChildren()
render(<App />, root)
