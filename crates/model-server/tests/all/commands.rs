//! Models that are a command of their own, described by model.toml.

use serde_json::json;

use crate::support::Folder;

#[tokio::test]
async fn a_command_reads_and_writes_csv_in_its_own_folder() {
    let folder = Folder::new(&[
        (
            "model.toml",
            "kind = 'command'\ncommand = ['sh', 'count.sh', '--in={input}', '{output}']\n\
             [input]\nname = 'text'\n",
        ),
        (
            "count.sh",
            "in=${1#--in=}\nawk 'NR == 1 { print \"header,n\" }\n\
             NR == 1 { header = $0 } NR > 1 { print header \",\" length($0) }' \"$in\" > \"$2\"\n",
        ),
    ]);
    let server = folder.serve().await;
    let expected = json!([{"header": "text", "n": 3}, {"header": "text", "n": 1}]);
    assert_eq!(server.run(&["abc", "d"]).await, expected);
}

#[tokio::test]
async fn a_script_called_run_sh_has_no_special_place() {
    let folder = Folder::new(&[
        ("model.toml", "kind = 'command'\ncommand = ['bash', 'run.sh', '{input}', '{output}']\n"),
        ("run.sh", "sed '1s/.*/seen/' $1 > $2\n"),
    ]);
    assert_eq!(folder.serve().await.run(&["abc"]).await, json!([{"seen": "abc"}]));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let folder = Folder::new(&[(
        "model.toml",
        "kind = 'command'\ncommand = ['no-such-program', '{input}', '{output}']\n",
    )]);
    let (status, detail) = folder.serve().await.fail(&["a"]).await;
    assert_eq!(status, 500);
    assert!(detail.contains("no-such-program"), "{detail}");
}

#[tokio::test]
async fn an_error_column_alone_is_the_error_of_that_input() {
    let folder = Folder::new(&[
        ("model.toml", "kind = 'command'\ncommand = ['sh', 'run.sh', '{input}', '{output}']\n"),
        ("run.sh", "printf 'n,error\\n1,\\n,no ring\\n' > $2\n"),
    ]);
    let rows = folder.serve().await.run(&["a", "b"]).await;
    assert_eq!(rows[0]["n"], 1);
    assert_eq!(rows[1]["error"], "no ring");
}
