/* The agent page in a real Chromium, against a real desk whose vault and proxy are played by desk_fixture.
 *
 *   node page_test.js PATH_OF_desk_fixture [FOLDER_FOR_SCREENSHOTS]
 *
 * Needs Chromium (CHROMIUM, or chromium in the PATH) and playwright-core (PLAYWRIGHT_CORE, or where node finds it).
 * Without them it says so and exits 77: skipped. */
'use strict';

const { spawn, execFileSync } = require('child_process');
const path = require('path');
const readline = require('readline');

function skip(why) {
  console.log('skipped: ' + why);
  process.exit(77);
}

function findChromium() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
    try {
      return execFileSync('which', [name], { encoding: 'utf8' }).trim();
    } catch (absent) { /* the next */ }
  }
  return skip('no Chromium here (apt-get install chromium)');
}

function findPlaywright() {
  try {
    return require(process.env.PLAYWRIGHT_CORE || 'playwright-core');
  } catch (absent) {
    return skip('no playwright-core here (npm install playwright-core in any folder, its path in PLAYWRIGHT_CORE)');
  }
}

const chromiumPath = findChromium();
const { chromium } = findPlaywright();
const [fixturePath, shots] = process.argv.slice(2);
let checks = 0;

function check(isTrue, what) {
  checks++;
  if (!isTrue) throw new Error('not so: ' + what);
}

class Fixture {
  static async start() {
    const fixture = new Fixture();
    fixture.child = spawn(fixturePath, [], { stdio: ['pipe', 'pipe', 'inherit'] });
    fixture.waiting = [];
    fixture.lines = [];
    readline.createInterface({ input: fixture.child.stdout }).on('line', line => {
      const resume = fixture.waiting.shift();
      if (resume) resume(line);
      else fixture.lines.push(line);
    });
    const [, port, token] = (await fixture.next()).split(' ');
    fixture.url = 'https://127.0.0.1:' + port + '/';
    fixture.token = token;
    return fixture;
  }

  next() {
    if (this.lines.length) return Promise.resolve(this.lines.shift());
    return new Promise(resume => this.waiting.push(resume));
  }

  async say(...lines) {
    for (const line of lines) {
      this.child.stdin.write(line + '\n');
      await this.next();
    }
  }

  stop() {
    return new Promise(resume => { this.child.on('exit', resume); this.child.stdin.end(); });
  }
}

const CARD = ['brand visa', 'type number 16 16', 'valid number', 'type expiry 4 4', 'valid expiry', 'type cvv 3 3', 'valid cvv', 'ready'];

async function main() {
  const fixture = await Fixture.start();
  const browser = await chromium.launch({
    executablePath: chromiumPath,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking']
  });
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 800 }, locale: 'en-GB' });
  const page = await context.newPage();
  const complaints = [];
  const strangers = [];
  page.on('console', message => {
    const isExpected = /status of (401|409|422|503)|net::ERR_/.test(message.text());
    if (message.type() === 'error' && !isExpected) complaints.push(message.text());
  });
  page.on('pageerror', error => complaints.push(String(error)));
  page.on('request', request => { if (!request.url().startsWith(fixture.url)) strangers.push(request.url()); });

  const shot = async (name, options) => {
    if (shots) await page.screenshot(Object.assign({ path: path.join(shots, name + '.png') }, options));
  };
  const see = text => page.getByText(text, { exact: false }).first().waitFor({ state: 'visible', timeout: 5000 });
  const button = name => page.getByRole('button', { name, exact: true });
  const dots = field => page.locator(`section[aria-label="${field}"] .dot.on`).count();

  await page.goto(fixture.url);
  await see('Access token');
  await shot('01-sign-in');
  await page.getByLabel('Access token').fill('this-token-is-not-known-here-at-all');
  await page.keyboard.press('Enter');
  await see('This token is not known here.');
  await page.getByLabel('Access token').fill(fixture.token);
  await page.keyboard.press('Enter');
  await see('No call right now.');
  await shot('02-no-call');
  await fixture.say('breaker open');
  await see('Provider not answering');
  await fixture.say('breaker closed');
  await see('Provider running');

  await fixture.say('call 1 ORDER-20417 2001', 'call 2 ORDER-20431 2002', 'ring 3 ORDER-20440 2001', 'call 4 ACC-88/Smith 2005');
  await see('ORDER-20417');
  await page.getByRole('button', { name: /^ORDER-20417/ }).click();
  await see('Take a card payment');
  const started = page.getByLabel('Amount');
  check(await started.evaluate(node => node === document.activeElement), 'the amount has the focus');
  await started.fill('12.345');
  await page.keyboard.press('Enter');
  await see('EUR has 2 decimals at most.');
  await shot('03-start-wrong');
  for (const wrong of ['', 'abc', '1,234.50', '0', '-5', '1e3', '99999999999']) {
    await started.fill(wrong);
    await page.keyboard.press('Enter');
    check(await started.getAttribute('aria-invalid') === 'true', 'refused: ' + wrong);
  }
  await started.fill('19.99'); /* times a hundred in binary this is 1998.99… */
  await page.keyboard.press('Enter');
  await see('Tones do not reach you');
  await see('EUR 19.99');
  await shot('04-collecting-empty');

  await fixture.say('brand visa', 'type number 12 16');
  await see('12 of 16 keys');
  check(await dots('Card number') === 12, 'twelve dots');
  await shot('05-collecting');
  await fixture.say('type number 16 16', 'wrong number number_invalid');
  await see('Not a valid card number.');
  await shot('06-number-wrong');
  await page.getByRole('button', { name: 'Clear: Card number' }).click();
  await see('Ask the caller to key the card number.');
  check(await dots('Card number') === 0, 'cleared');
  await fixture.say('muted on');
  await see('Sound muted for safety');
  check((await page.locator('#speak').textContent()).startsWith('Sound muted for safety'), 'the mute is spoken');
  await shot('06-muted');
  await fixture.say('muted off');
  await see('Tones do not reach you');
  await fixture.say(...CARD);
  await see('Ready to pay');
  await shot('07-ready');
  await fixture.say('outcome approved');
  await button('Take EUR 19.99').click();
  await see('Payment in progress');
  await shot('08-working');
  await see('Payment approved');
  await see('pm_1QxTonegateDemoToken');
  await shot('09-approved');
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await button('Copy: Token').click();
  check(await page.evaluate(() => navigator.clipboard.readText()) === 'pm_1QxTonegateDemoToken', 'the token is copied');

  /* After the payment: some of the money back, and the rest. */
  await button('Refund…').click();
  await page.getByLabel('Amount (EUR)').fill('20');
  await button('Give the money back').click();
  await see('That is more than what is left of this payment.');
  await page.getByLabel('Amount (EUR)').fill('5');
  await shot('21-refund-asked');
  await button('Give the money back').click();
  await see('Refund · EUR 5.00');
  await see('re_3QxDemo');
  await fixture.say('orders failed');
  await button('Refund…').click();
  check(await page.getByLabel('Amount (EUR)').inputValue() === '14.99', 'the rest is offered');
  await button('Give the money back').click();
  await see('Refund · EUR 14.99');
  await see('not done');
  check(await button('Undo…').count() === 0, 'what was given back in part is not undone');
  await shot('22-after');
  await fixture.say('orders done');
  await button('Done').click();
  await page.getByRole('button', { name: /EUR 19.99/ }).click();
  await see('After this payment');
  await see('re_3QxDemo');
  await shot('23-recent-payment');

  /* A link instead of the telephone. */
  await page.getByRole('button', { name: /^ORDER-20431/ }).click();
  await page.getByLabel('Amount').fill('12.50');
  await button('Payment link instead').click();
  await see('https://buy.example/pay/4Gd82kQ');
  await shot('24-link');

  /* With the keyboard alone. */
  await page.getByRole('button', { name: /^ORDER-20431/ }).focus();
  await page.keyboard.press('Enter');
  await page.getByLabel('Amount').waitFor();
  await page.getByLabel('Amount').fill('');
  await page.keyboard.type('250');
  await page.keyboard.press('Enter');
  await see('Tones do not reach you');
  await fixture.say('brand amex', 'type number 15 15', 'valid number', 'type expiry 4 4', 'valid expiry', 'type cvv 4 4', 'valid cvv', 'ready', 'outcome retry insufficient_funds');
  await see('Ready to pay');
  await shot('10-amex-ready');
  await button('Take EUR 250.00').focus();
  await page.keyboard.press('Enter');
  await see('Not enough funds.');
  await see('2 of 3');
  await shot('11-declined-again');
  await fixture.say(...CARD, 'outcome declined lost_or_stolen', 'hooks refused');
  await button('Take EUR 250.00').click();
  await see('No attempts are left.');

  /* The billing system would not hear of it. */
  await see('Could not be delivered');
  await see('to billing');
  await shot('25-not-delivered');
  await fixture.say('hooks taken');
  await button('Try again: Payment result').click();
  await page.getByText('Could not be delivered').waitFor({ state: 'hidden', timeout: 5000 });
  await shot('12-declined');
  await button('New payment').click();

  /* The vault goes, comes back, and the capture is lost. */
  await page.getByLabel('Amount').fill('42');
  await page.keyboard.press('Enter');
  await see('Tones do not reach you');
  await fixture.say('brand mastercard', 'type number 9 16', 'vault down');
  await see('The vault is restarting. The caller stays masked');
  check(await button('Cancel').isDisabled(), 'nothing can be asked while the vault is away');
  await shot('13-vault-down');
  await fixture.say('vault up');
  await see('What was keyed is gone');
  await shot('14-lost');
  await button('Start again').click();
  await see('Ask the caller to key the card number.');
  await fixture.say('media down');
  await see('The media part is restarting.');
  await fixture.say('media up', 'call 2 ORDER-20431 2002', 'problem media_restarted');
  await see('Media restarted, keys may be missing');
  await shot('15-media-back');
  await fixture.say(...CARD, 'outcome unknown');
  await button('Take EUR 42.00').click();
  await see('Outcome not known yet');
  await shot('16-unknown');
  await page.getByRole('button', { name: 'Unmask the caller' }).click();
  await see('Cancelled');

  /* A page that is loaded again keeps its token, and shows the state as it is. */
  await fixture.say('call 1 ORDER-20417 2001');
  await page.getByRole('button', { name: /^ORDER-20417/ }).click();
  await page.getByLabel('Amount').fill('7');
  await page.getByLabel('Currency').selectOption('JPY');
  await page.keyboard.press('Tab');
  await button('Mask and start').click();
  await see('JPY 7');
  await fixture.say('brand visa', 'type number 5 16');
  await page.reload();
  await page.getByRole('button', { name: /^ORDER-20417/ }).click();
  await see('5 of 16 keys');

  /* The desk itself is killed: the page says so, and finds everything again. */
  fixture.child.stdin.write('desk kill 1500\n');
  await see('Connection to the desk lost.');
  check(await button('Cancel').isDisabled(), 'nothing can be asked while the desk is away');
  await shot('20-desk-killed');
  await fixture.next();
  await fixture.say('call 1 ORDER-20417 2001', 'call 2 ORDER-20431 2002', 'type number 8 16');
  await see('8 of 16 keys');
  await see('Back again. Connected.');
  await page.getByRole('button', { name: /^ORDER-20431/ }).waitFor();

  /* How it looks elsewhere. */
  await page.emulateMedia({ colorScheme: 'dark' });
  await shot('17-dark');
  await page.evaluate(() => { document.documentElement.dir = 'rtl'; });
  await shot('18-dark-rtl');
  await page.emulateMedia({ colorScheme: 'light' });
  await page.evaluate(() => { document.documentElement.dir = 'ltr'; });
  await page.setViewportSize({ width: 390, height: 844 });
  await shot('19-narrow', { fullPage: true });
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(overflow <= 0, 'nothing is cut at 390 pixels');
  await page.setViewportSize({ width: 1280, height: 800 });

  /* Where the token is, and where it is not. */
  const kept = await page.evaluate(() => [sessionStorage.length, JSON.stringify(localStorage), document.cookie, location.href]);
  check(kept[0] === 1, 'one entry in sessionStorage');
  check(!kept.slice(1).some(text => text.includes(fixture.token)), 'the token is nowhere else');
  await button('Sign out').click();
  check(await page.evaluate(() => sessionStorage.length) === 0, 'signing out forgets the token');
  check(strangers.length === 0, 'nothing is asked of another host: ' + strangers.join(' '));
  check(complaints.length === 0, 'nothing is complained of: ' + complaints.join(' | '));

  await browser.close();
  check(await fixture.stop() === 0, 'the desk stopped as it should');
  console.log(checks + ' checks and all texts seen');
}

main().catch(error => {
  console.error(error.stack || String(error));
  process.exit(1);
});
