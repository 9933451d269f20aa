import assert from 'node:assert/strict'
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core'
import { QUERY } from './pipeline.ts'

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const ARTEFACTS = new URL('../artefacts/console/', import.meta.url).pathname

export const WIDE = { width: 1280, height: 900 }
export const NARROW = { width: 360, height: 780 }

/** Debian's Chromium, or the one that CHROMIUM names. */
export const launch = (): Promise<Browser> =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  })

/** A page of the console, with nothing on it still loading; whatever the browser complains of is a failure. */
export class Console {
  readonly complaints: string[] = []
  private constructor(readonly page: Page) {
    page.on('pageerror', (error) => this.complaints.push(error.message))
    page.on('console', (message) => message.type() === 'error' && this.complaints.push(message.text()))
  }

  static async open(browser: Browser, address: string, options: BrowserContextOptions = {}): Promise<Console> {
    const context = await browser.newContext({ viewport: WIDE, colorScheme: 'light', ...options })
    await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: QUERY })
    context.setDefaultTimeout(60_000)
    const opened = new Console(await context.newPage())
    await opened.visit(address)
    return opened
  }

  async visit(address: string): Promise<void> {
    await this.page.goto(`${QUERY}/#/${address}`)
    await this.settled()
  }

  /** Everything asked is answered and drawn. */
  async settled(): Promise<void> {
    await this.page.waitForFunction(() => document.documentElement.dataset.route === location.hash && !document.querySelector('.loading, [aria-busy="true"]'))
  }

  /** The browser has complained of this, and of nothing else. */
  async complained(of: string): Promise<void> {
    if (this.complaints.length === 0) await this.page.waitForEvent('console', (message) => message.type() === 'error')
    const complaints = this.complaints.splice(0)
    assert.ok(complaints.every((complaint) => complaint.includes(of)), complaints.join('\n'))
  }

  async close(): Promise<void> {
    assert.deepEqual(this.complaints, [], 'the browser complains of nothing')
    await this.page.context().close()
  }

  /** The parameters in the address. */
  get params(): URLSearchParams {
    return new URLSearchParams(new URL(this.page.url()).hash.split('?')[1] ?? '')
  }

  panel(title: string | RegExp) {
    return this.page.getByRole('region', { name: title }).filter({ has: this.page.locator('header') }).first()
  }

  select(label: string) {
    return this.page.getByRole('combobox', { name: label, exact: true })
  }

  async choose(label: string, value: string): Promise<void> {
    await this.select(label).selectOption(value)
    await this.settled()
  }

  async press(name: string | RegExp): Promise<void> {
    await this.page.getByRole('button', { name }).first().click()
    await this.settled()
  }

  /** The cells of the table with this caption, row by row; all rows are unfolded. */
  async table(caption: string): Promise<string[][]> {
    const region = this.page.getByRole('region', { name: caption, exact: true })
    const more = region.getByRole('button', { name: /^Show all/ })
    if (await more.count()) await more.click()
    return region.locator('tbody tr').evaluateAll((rows) => rows.map((row) => [...row.children].map((cell) => (cell as HTMLElement).innerText.replace(/\s+/g, ' ').trim())))
  }

  /** What a panel's SQL or curl button shows. */
  async code(title: string | RegExp, button: 'SQL' | 'curl'): Promise<string> {
    await this.panel(title).getByRole('button', { name: button, exact: true }).click()
    const dialog = this.page.getByRole('dialog')
    const text = await dialog.locator('pre').innerText()
    await dialog.getByRole('button', { name: 'Copy' }).click()
    await dialog.getByRole('button', { name: 'Copied' }).waitFor()
    assert.equal(await this.page.evaluate(() => navigator.clipboard.readText()), text)
    await dialog.getByRole('button', { name: 'Close' }).click()
    return text
  }

  /** What axe finds that is serious or worse. */
  async barriers(): Promise<string[]> {
    // Through the protocol, not as a script of the page: the page's security policy stays in force.
    await this.page.evaluate(AXE)
    const violations = await this.page.evaluate(async () => {
      const { axe } = window as unknown as { axe: { run: () => Promise<{ violations: { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[] }> } }
      return (await axe.run()).violations
    })
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 200)} ${failureSummary}`))
  }

  async screenshot(name: string): Promise<void> {
    mkdirSync(ARTEFACTS, { recursive: true })
    await this.page.screenshot({ path: `${ARTEFACTS}${name}.png`, fullPage: true })
  }
}

/** `6,851` as 6851. */
export const number = (text: string | undefined): number => Number(text?.replaceAll(',', ''))
