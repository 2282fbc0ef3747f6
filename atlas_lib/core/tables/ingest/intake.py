"""What 01_ingest found: refused cells, duplicates, screening, the streaming index, control totals."""

from atlas_lib.core.tables.ingest.inputs import PAYMENT
from atlas_lib.core.tables.schema import SOURCE, table

_STAGE = "01_ingest"
_INDEX = """
transaction_id string - transaction
status string - its status
fraud_score float rate 0 to 1, in steps of 0.0001
fraud_reasons string - reasons joined by "; ", empty when none
policy_flags string - KYC_REQUIRED, AML_PENDING, REGIONAL_LIMIT, BLACKLISTED, SANCTIONS_MATCH joined by "; "
"""

TABLES = [
    table(
        "rejects",
        _STAGE,
        "",
        "Every refused cell with what was expected and found; nothing is dropped in silence.",
        """
source_file string - input file
source_sheet string - sheet; empty for other files
source_row int count row as Excel shows it; 0 when the whole file or sheet is meant
source_entry int? count which of the entries on that line of the file, counted from 1; empty where the line has one
table string - table the row was meant for; empty when unknown
column string - column of the table; empty when the row as a whole is meant
value string - what was found
rule string - short name of the rule that was broken
severity string - error (row refused) or warning (row kept)
message string - what was expected and what to do
""",
    ),
    table(
        "input_sheets",
        _STAGE,
        "source_file source_sheet table",
        "Every sheet and file that was read: which table it is, where its header is, what it gave.",
        """
source_file string - input file
source_sheet string - sheet of the workbook; empty for other files
table string - table it was taken as; empty when it fits none
header_row int count row of the column names, as Excel shows it; 0 where the format has none
area string - cells taken, as B7:P1205, lines of a text file as 7:1205; several joined by "; "
rows_in_count int count data rows; empty and totals rows left out
columns string - table columns found
extra_columns string - columns that are kept out of the tables: unknown or without a name
""",
    ),
    table(
        "sheet_areas",
        _STAGE,
        "source_file source_sheet area use table",
        "Every filled part of every sheet: what was taken as a table, what was left and why.",
        """
source_file string - input file
source_sheet string - sheet of the workbook; empty for other files
area string - cells, as B7:P1205; lines of a text file, as 7:1205
use string - table, above the header, units, totals, repeated header, note, empty, other rows, second table, scaled units or unknown
table string - table it was taken as; empty where it was left
rows_count int count rows taken or left
reason string - why it was left; empty where it was taken
shown string - how its first row begins
""",
    ),
    table(
        "column_statistics",
        _STAGE,
        "table column",
        "Per column of each input table what was read: the first thing to look at in a new file.",
        """
table string - input table
column string - its column
rows_count int count rows read
filled_count int count cells that are not empty
refused_count int count cells refused for an error
distinct_count int count different values among the cells read
lowest string? - smallest value, or the shortest text
highest string? - largest value, or the longest text
mean string? - mean of a number; empty for other kinds
example string? - the commonest value
""",
    ),
    table(
        "refused_cells",
        _STAGE,
        "source_file source_sheet table entry position",
        "The cells of refused rows as they came, for the workbook that is corrected and sent back.",
        """
source_file string - input file
source_sheet string - sheet; empty for other files
source_row int count row or line, as Excel or an editor shows it
source_entry int? count which of the entries on that line of the file, counted from 1; empty where the line has one
table string - table the row was meant for
entry int count refused row of the sheet, counted from 0
position int count column of the sheet, counted from 0; columns that are added come last
column string - column of the table; the header where it is none
header string - column name as the sheet has it
kind string - text, number or moment
value string? - the cell as text
""",
    ),
    table(
        "received_counts",
        _STAGE,
        "table currency",
        "Rows read and refused, per table and currency, counted while reading.",
        """
table string - table
currency string - ISO 4217 code; empty where the table has none or the cell is no currency
rows_in_count int count data rows read
rejected_count int count rows refused for an error
duplicate_count int count rows refused because their key was there already
""",
    ),
    table(
        "submissions",
        _STAGE,
        "source_file source_sheet source_row",
        "Valid transaction rows as submitted, before duplicates are told apart.",
        """
transaction_id string - transaction
idempotency_key string - key as submitted; the transaction id where none was given
fingerprint string - SHA-256 over the business columns: equal for the same body
"""
        + PAYMENT
        + SOURCE,
    ),
    table(
        "intake_results",
        _STAGE,
        "source_file source_sheet source_row",
        "Valid transaction rows that were not accepted, with the row that holds their id or key.",
        """
transaction_id string - transaction as submitted
idempotency_key string - key as submitted; the transaction id where none was given
status string - duplicate or conflict
first_transaction_id string - the transaction that holds the key
first_source string - where that one was read (file, sheet, row), or the earlier run
amount_minor int minor amount in the source currency
currency string - source currency
"""
        + SOURCE,
    ),
    table(
        "screening_findings",
        _STAGE,
        "finding_id",
        "Findings of screening: conflicts, policy rules, AML patterns, sanctions names.",
        """
finding_id string - stable id
transaction_id string? - transaction it is about
merchant_id string? - merchant it is about
user_id string? - user it is about
rule string - rule that fired
severity string - info, warning or high
detail string - what was seen, in words
""",
    ),
    table(
        "fraud_quality",
        _STAGE,
        "score",
        "How well the scores find labelled fraud in the later part of the labelled transactions; empty without labels.",
        """
score string - own observations, or fitted model
is_used bool - whether it is the fraud score of the later transactions
tested_from instant - first instant of the later part; a model is fitted on what was known before
fitted_count int count labelled transactions the model was fitted on
fitted_fraud_count int count fraud among them
tested_count int count labelled transactions it was tested on
tested_fraud_count int count fraud among them
average_precision float rate area under the precision-recall curve
recall_at_100_rate float rate share of the fraud among the 100 highest scores a day
precision_at_100_rate float rate share of fraud among these
target_precision_rate float rate precision asked for
alerts_per_day float count alerts a day at the lowest score whose precision is not below it; 0 where none reaches it
recall_at_target_rate float rate share of the fraud among these
""",
    ),
    table(
        "streaming_index",
        _STAGE,
        "transaction_id",
        "One row per accepted transaction: what is known the moment it arrives.",
        _INDEX + "ingested_at instant - the as-of day's end for batch files\n",
    ),
    table(
        "followed_index",
        _STAGE,
        "transaction_id",
        "The streaming index of `atlas intake`: one part per delivery beside the runs, each accepted transaction once.",
        _INDEX
        + """
ingested_at instant - when it was indexed
delivery_id string - the file or messages it came in
arrived_at instant - when that came: time of the file, or of its last message
delay_seconds float seconds from arrived_at to ingested_at; 0 where the clock was set back between them
""",
    ),
    table(
        "deliveries",
        _STAGE,
        "delivery_id",
        "Everything `atlas intake` took: rows in = accepted + again + duplicate + conflict + rejected.",
        """
delivery_id string - hash of the file's name and content, or of topic, partition and offsets
delivery_number int count order in which they were taken, from 1
source_file string - file, or topic
source_sheet string - partition of the topic; empty for files
first_offset int? count first message; empty for files
last_offset int? count last message; empty for files
content_sha256 string - of the file's bytes, or of the messages
size_bytes int bytes size of the file, or of the messages
status string - taken, or refused as a whole
reason string - why it was refused; empty otherwise
rows_in_count int count payment rows read
accepted_count int count accepted for the first time here: these are in the index
again_count int count accepted earlier from the same file: nothing new happened
duplicate_count int count the same payment from elsewhere, or twice
conflict_count int count the same id or key with another content, held back
rejected_count int count refused for an error, each in rejects
other_count int count rows of other tables; merchants, policies and fraud signals among them count for screening
findings_count int count screening findings made
arrived_at instant - when it came
indexed_at instant - when it was indexed
delay_seconds float seconds between them; 0 where the clock was set back
""",
    ),
    table(
        "control_totals",
        _STAGE,
        "table currency",
        "Rows in = clean + rejected + duplicate, per table and currency.",
        """
table string - table
currency string - ISO 4217 code; empty where the table has none
rows_in_count int count rows read
clean_count int count rows kept
rejected_count int count rows refused
duplicate_count int count duplicates and conflicts
difference_count int count in - clean - rejected - duplicate, must be 0
clean_minor int minor sum of the amount column of the kept rows
duplicate_minor int minor sum of the amount column of duplicates and conflicts
""",
    ),
]
